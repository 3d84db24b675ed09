//! What the daemon says on the bus, how often, and to whom it listens.

use futures_util::StreamExt;
use ibak_dbus::words::{JobState, Outcome};
use ibak_dbus::{
    BusChoice, CALL_TIMEOUT, Change, Dict, Error, MirrorEvent, NO_USER_INTERACTION, change_of,
    names,
};
use ibak_tests::night::{Night, SLOW, Setup, phone};
use ibak_tests::skip_unless;
use std::collections::{BTreeMap, HashMap};
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use zbus::wire::OwnedVariant;

const SECOND: Duration = Duration::from_secs(1);

async fn ada() -> Night {
    let mut night = Setup::of(vec![phone("Ada's iPhone")])
        .by_cable()
        .begin()
        .await;
    night
        .until_phone(0, "it is read", |view| {
            view.conditions.values().any(|it| it.needed.is_some())
        })
        .await;
    night
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_stays_a_minute_after_its_end() {
    let mut night = ada().await;
    let job = night.back_up(0, &[]).await.unwrap();
    assert_eq!(night.ended(job).await, Outcome::Succeeded);
    night.advance(SECOND * 59).await;
    assert_eq!(night.job(job).state, JobState::Succeeded);
    assert_eq!(night.phone(0).current_job, None);
    night.advance(SECOND).await;
    assert_eq!(night.state().job(job), None);
    assert_eq!(night.phone(0).last_result, Some(Outcome::Succeeded));
    let backups = night.backups(0).await;
    let completed: Vec<_> = night
        .events
        .iter()
        .filter(|event| matches!(event, MirrorEvent::Completed { .. }))
        .collect();
    let [
        MirrorEvent::Completed {
            job: of,
            result,
            details,
        },
    ] = completed.as_slice()
    else {
        panic!("told once: {completed:?}")
    };
    assert_eq!((*of, result), (job, &Outcome::Succeeded));
    assert_eq!(details.backup.as_ref(), Some(&backups[0].id));
    assert!(
        details.bytes.get() > 1 << 20 && details.files > 40,
        "{details:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_job_has_the_path_of_another_ever() {
    let mut night = ada().await;
    let mut seen = Vec::new();
    for round in 0..3 {
        for _ in 0..2 {
            let job = night.back_up(0, &["when-ready"]).await.unwrap();
            night.cancel(job).await.unwrap();
            night.ended(job).await;
            seen.push(job);
        }
        night.stop_daemon().await;
        if round == 1 {
            // Not even when all that was remembered is lost.
            std::fs::remove_file(night.dir().join("state/memory.json")).unwrap();
            night.clock.advance(SECOND * 10);
        }
        night.start_daemon().await;
        night
            .until_phone(0, "it is back", |view| !view.transports.is_empty())
            .await;
    }
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
}

/// Properties told at once, with the moment.
type Told = (Instant, BTreeMap<String, OwnedVariant>);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_comes_in_groups_and_at_most_twice_a_second() {
    let mut night = ada().await;
    let listener = BusChoice::Address(night.bus.address.clone())
        .connect()
        .await
        .unwrap();
    let rule = zbus::MatchRule::builder()
        .msg_type(zbus::message::Type::Signal)
        .path_namespace("/org/ibak/Ibak1/jobs")
        .build()
        .unwrap();
    let mut stream =
        zbus::MessageStream::for_match_rule(rule, &listener, std::num::NonZero::new(1_000))
            .await
            .unwrap();
    let told: Arc<Mutex<Vec<Told>>> = Arc::default();
    let tape = Arc::clone(&told);
    let listening = tokio::spawn(async move {
        while let Some(Ok(message)) = stream.next().await {
            if let Some(Change::Properties { changed, .. }) = change_of(&message) {
                tape.lock().unwrap().push((Instant::now(), changed));
            }
        }
    });
    night.set(0, &["upload-rate=250000"]).await;
    let job = night.back_up(0, &[]).await.unwrap();
    assert_eq!(night.ended(job).await, Outcome::Succeeded);
    listening.abort();

    let told = told.lock().unwrap();
    let progress: Vec<&Told> = told
        .iter()
        .filter(|(_, changed)| changed.contains_key("BytesDone") && !changed.contains_key("State"))
        .collect();
    assert!(progress.len() >= 4, "{told:#?}");
    // Counted over the whole, as a busy reader takes single signals early or late.
    let span = progress[progress.len() - 1].0 - progress[0].0;
    let most = span.as_millis() / 500 + 2;
    assert!(
        progress.len() as u128 <= most,
        "{} in {span:?}: {progress:#?}",
        progress.len()
    );
    let grouped = progress
        .iter()
        .filter(|(_, changed)| {
            changed.contains_key("FilesDone") && changed.contains_key("Progress")
        })
        .count();
    assert!(grouped > 0, "{progress:#?}");
}

/// Calls a method as another user of the machine.
async fn as_nobody(night: &mut Night, path: &str, call: &[&str]) -> Option<Output> {
    let root = rustix::process::geteuid().is_root().then_some(());
    skip_unless(root, "only root can become somebody else")?;
    let mut command = tokio::process::Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "busctl"])
        .arg(format!("--address={}", night.bus.address))
        .args(["call", names::BUS_NAME, path])
        .args(call);
    Some(night.drive(command.output()).await.unwrap())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

/// Lists methods that change something, of the Manager and of this phone.
fn changes(phone: &str) -> Vec<(&str, Vec<&'static str>)> {
    vec![
        (
            names::MANAGER_PATH,
            vec![names::MANAGER_INTERFACE, "Pause", "ta{sv}", "0", "0"],
        ),
        (
            names::MANAGER_PATH,
            vec![names::MANAGER_INTERFACE, "Resume", "a{sv}", "0"],
        ),
        (
            names::MANAGER_PATH,
            vec![names::MANAGER_INTERFACE, "Reload", "a{sv}", "0"],
        ),
        (
            names::MANAGER_PATH,
            vec![names::MANAGER_INTERFACE, "Pair", "sa{sv}", "x", "0"],
        ),
        (phone, vec![names::PHONE_INTERFACE, "Backup", "a{sv}", "0"]),
        (
            phone,
            vec![
                names::PHONE_INTERFACE,
                "SetPolicy",
                "ssa{sv}",
                "settle",
                "1s",
                "0",
            ],
        ),
        (
            phone,
            vec![
                names::PHONE_INTERFACE,
                "SetAutomatic",
                "ba{sv}",
                "false",
                "0",
            ],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_polkit_others_may_look_and_nothing_else() {
    let mut night = ada().await;
    let path = names::phone_path(&night.udid(0));
    let calls = changes(&path);
    for (path, call) in &calls {
        let Some(output) = as_nobody(&mut night, path, call).await else {
            return;
        };
        assert!(!output.status.success(), "{call:?}");
        assert!(
            said(&output).contains("only root may do this"),
            "{call:?}: {}",
            said(&output)
        );
    }
    let looks = [
        (
            names::MANAGER_PATH,
            vec![names::MANAGER_INTERFACE, "Diagnose", "a{sv}", "0"],
        ),
        (
            path.as_str(),
            vec![names::PHONE_INTERFACE, "ListBackups", "a{sv}", "0"],
        ),
        (
            path.as_str(),
            vec![names::PHONE_INTERFACE, "GetPolicy", "a{sv}", "0"],
        ),
    ];
    for (path, call) in &looks {
        let Some(output) = as_nobody(&mut night, path, call).await else {
            return;
        };
        assert!(output.status.success(), "{call:?}: {}", said(&output));
    }
    assert!(night.phone(0).automatic);
    assert_eq!(night.state().jobs(), []);
}

/// A polkit that lets everybody begin backups and wants a person for the rest.
struct Polkit(Arc<Mutex<Vec<(String, u32)>>>);

#[zbus::interface(name = "org.freedesktop.PolicyKit1.Authority")]
impl Polkit {
    fn check_authorization(
        &self,
        subject: (String, HashMap<String, OwnedVariant>),
        action_id: String,
        details: HashMap<String, String>,
        flags: u32,
        cancellation_id: String,
    ) -> (bool, bool, HashMap<String, String>) {
        assert_eq!(
            (subject.0.as_str(), details.len(), cancellation_id.as_str()),
            ("system-bus-name", 0, "")
        );
        let backup = action_id == "org.ibak.Ibak1.backup";
        self.0.lock().unwrap().push((action_id, flags));
        (backup, !backup, HashMap::new())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polkit_decides_for_others() {
    let mut night = ada().await;
    let asked: Arc<Mutex<Vec<(String, u32)>>> = Arc::default();
    let polkit = BusChoice::Address(night.bus.address.clone())
        .builder()
        .method_timeout(CALL_TIMEOUT)
        .name("org.freedesktop.PolicyKit1")
        .serve_at(
            "/org/freedesktop/PolicyKit1/Authority",
            Polkit(Arc::clone(&asked)),
        )
        .build()
        .await
        .unwrap();
    let path = names::phone_path(&night.udid(0));
    let allowed = as_nobody(
        &mut night,
        path.as_str(),
        &[
            names::PHONE_INTERFACE,
            "Backup",
            "a{sv}",
            "1",
            "when-ready",
            "b",
            "true",
        ],
    )
    .await;
    let Some(allowed) = allowed else { return };
    assert!(allowed.status.success(), "{}", said(&allowed));
    assert_eq!(night.state().jobs().len(), 1);
    let refused = as_nobody(
        &mut night,
        names::MANAGER_PATH,
        &[
            names::MANAGER_INTERFACE,
            "Pause",
            "ta{sv}",
            "0",
            "1",
            NO_USER_INTERACTION,
            "b",
            "true",
        ],
    )
    .await;
    let refused = refused.expect("root a moment ago");
    assert!(
        said(&refused).contains("a person's consent"),
        "{}",
        said(&refused)
    );
    let actions = asked.lock().unwrap().clone();
    let ids: Vec<&str> = actions.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["org.ibak.Ibak1.backup", "org.ibak.Ibak1.manage"]);
    assert_eq!(actions[1].1, 0, "nobody may be asked");
    // Root is never asked about.
    let job = night.state().jobs()[0].id;
    night.cancel(job).await.unwrap();
    assert_eq!(asked.lock().unwrap().len(), 2);
    drop(polkit);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_stops_ends_its_jobs_and_keeps_what_arrived() {
    let mut night = ada().await;
    night.set(0, &[SLOW]).await;
    let job = night.back_up(0, &[]).await.unwrap();
    night.until_receiving(job).await;
    night.stop_daemon().await;
    assert!(night.is_staged(0));
    let told = night.events.iter().any(|event| {
        matches!(event, MirrorEvent::Completed { job: of, result: Outcome::DaemonStopped, .. } if *of == job)
    });
    assert!(told, "{:?}", night.events);
    night.set(0, &["upload-rate=none"]).await;
    night.start_daemon().await;
    night
        .until_phone(0, "it is read", |view| {
            view.conditions.values().any(|it| it.needed.is_some())
        })
        .await;
    assert_eq!(night.phone(0).last_result, Some(Outcome::DaemonStopped));
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
    let backups = night.backups(0).await;
    night.assert_equals_phone(0, &backups[0].id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_daemon_on_the_same_bus_does_not_start() {
    let mut night = ada().await;
    let manager = night.manager().await;
    let other = BusChoice::Address(night.bus.address.clone())
        .builder()
        .name(names::BUS_NAME)
        .build()
        .await;
    assert!(other.is_err(), "the name is taken");
    let checks = night
        .drive(async move { manager.diagnose(Dict::new()).await })
        .await;
    assert!(
        matches!(&checks, Ok(rows) if !rows.is_empty()),
        "{checks:?}"
    );
    let wrong = night.back_up(0, &["x"]).await;
    assert!(matches!(wrong, Err(Error::InvalidOption(_))), "{wrong:?}");
}
