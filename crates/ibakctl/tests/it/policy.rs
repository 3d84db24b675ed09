//! `ibakctl policy`: the table, what is set, and how a refusal reads.

use super::fixtures::{ada, studio, style, wide};
use super::mock::{Mock, Script};
use ibak_dbus::Error;
use ibak_dbus::views::PolicyView;
use ibak_dbus::words::PolicySource;
use ibakctl::render::{self, PolicyReport};
use ibakctl::{Glyphs, Paint, Style, text};

fn row(key: &str, value: &str, source: PolicySource, default: &str) -> PolicyView {
    PolicyView {
        key: key.into(),
        value: value.into(),
        source,
        default: default.into(),
    }
}

fn rows() -> Vec<PolicyView> {
    use PolicySource::{Config, ConfigPhone, Default, Set};
    let window = "Mon-Fri 22:00-07:00; Sat,Sun 22:00-10:00";
    vec![
        row("automatic", "true", Default, "true"),
        row("interval", "12h", Config, "24h"),
        row("window", window, ConfigPhone, "always"),
        row("hold_until_locked_max", "5min", Default, "5min"),
        row("notify", "desktop,mail", ConfigPhone, "all"),
        row("owner", "", Default, ""),
        row("conditions.wifi", "or-usb", Set, "required"),
        row("conditions.battery_min", "20", Set, "0"),
        row("lost.power", "10min", Default, "10min"),
        row("backoff.longest", "4h", Other("moon".into()), "4h"),
    ]
}

use PolicySource::Other;

fn report() -> PolicyReport {
    PolicyReport {
        phone: ada(),
        rows: rows(),
        me: " ada".into(),
    }
}

#[test]
fn the_table() {
    let mut with_cron = report();
    with_cron
        .rows
        .push(row("cron", "0 2 * * *", PolicySource::Config, ""));
    let narrow = Style {
        width: Some(50),
        glyphs: Glyphs::Ascii,
        ..style()
    };
    let shown = [
        render::policy(&report(), &style()),
        render::policy(&with_cron, &narrow),
        render::policy(&report(), &wide()),
    ];
    for (text, columns) in shown.iter().zip([80, 50]) {
        assert!(
            text.lines().all(|it| text::columns(it) <= columns),
            "{text}"
        );
    }
    insta::assert_snapshot!(shown.join("----\n"));
    let painted = Style {
        paint: Paint::Color,
        ..style()
    };
    assert!(render::policy(&report(), &painted).contains("\u{1b}[2mdefault"));
}

#[test]
fn what_was_set() {
    let mut after = report();
    after.rows[0] = row("automatic", "true", PolicySource::Set, "true");
    after.rows[2] = row("window", "always", PolicySource::Default, "always");
    after.rows[8] = row("lost.power", "stop", PolicySource::Set, "10min");
    let keys = ["automatic", "window", "lost.power", "no.such"];
    let shown = render::policy_set(&after, &rows(), &keys, &style());
    insta::assert_snapshot!(shown);
}

async fn mock() -> Mock {
    Mock::start(Script {
        phones: vec![ada(), studio()],
        policy: rows(),
        ..Script::default()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_keys_are_set_in_one_call() {
    let mock = mock().await;
    let ran = mock
        .run(&["policy", "ada", "lost.power=stop", "window=", "interval=1d"])
        .await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert_eq!(
        mock.calls(),
        [r#"set-policy lost.power=stop {"interval": "1d", "window": ""}"#]
    );
    insta::assert_snapshot!(ran.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_and_its_keys_as_json() {
    let mock = mock().await;
    let ran = mock.run(&["policy", "ada", "--json"]).await.json();
    assert_eq!(ran["message_type"], "policy");
    assert_eq!(ran["udid"], ada().udid.as_str());
    assert_eq!(
        ran["keys"][6],
        serde_json::json!({
            "key": "conditions.wifi", "value": "or-usb", "source": "set", "default": "required"
        })
    );
    assert_eq!(mock.calls(), [] as [&str; 0], "looking sets nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_sense_is_refused_with_what_to_do() {
    let mock = mock().await;
    let mut shown = String::new();
    for args in [
        &["policy"][..],
        &["policy", "settle=1min"],
        &["policy", "ada", "settle", "=", "1min"],
        &["policy", "ada", "settle=1min", "settle=2min"],
        &["policy", "bob"],
    ] {
        let ran = mock.run(args).await;
        assert_eq!(ran.out, "", "{args:?}");
        shown.push_str(&format!("{args:?}: {:?}\n{}\n", ran.code, ran.err));
    }
    assert_eq!(mock.calls(), [] as [&str; 0]);
    let refusals: [fn() -> Error; 3] = [
        || Error::Failed("`settle`: must be from 0s to 1h".into()),
        || Error::InvalidOption("`setle`: there is no such key; is `settle` meant?".into()),
        || Error::NotAuthorized("polkit does not allow org.ibak.Ibak1.manage".into()),
    ];
    for refusal in refusals {
        mock.script().refuse = Some(refusal);
        let ran = mock.run(&["policy", "ada", "settle=2h"]).await;
        assert_eq!(ran.out, "");
        shown.push_str(&format!("refused: {:?}\n{}\n", ran.code, ran.err));
    }
    insta::assert_snapshot!(shown);
}
