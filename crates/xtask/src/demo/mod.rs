//! `cargo xtask demo`: one evening and the next, on a bus of its own, with two simulated phones and
//! the real daemon.
//!
//! Nothing here knows how ibak works inside: it plugs a phone in, carries it into the Wi-Fi,
//! locks it, and shows what `ibakctl` says each time. It needs no root; it leaves the backups, and
//! when asked to (`--keep`) everything running.

pub(crate) mod house;
mod janitor;
mod phones;
pub(crate) mod player;
pub(crate) mod stage;
pub(crate) mod wifi;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use self::house::House;
use self::phones::{ADA, BEN};
use self::stage::Stage;
use crate::say::Teller;
use crate::tools::{self, For};
use crate::workspace::{self, Profile};

/// A day of the demo.
const DAY: Duration = Duration::from_secs(20);
/// How long the conditions must hold.
const SETTLE: Duration = Duration::from_secs(4);
/// How much of the phone changes overnight.
const OVERNIGHT: [&str; 6] = ["--touch", "20", "--add", "9", "--delete", "1"];

/// How the demo is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The last line of the output is JSON, and the story goes to the standard error.
    pub json: bool,
    /// Everything goes on after the end, for playing with `ibakctl`.
    pub keep: bool,
}

/// Builds the programs and plays the evening and the next.
///
/// # Errors
/// Something is missing on the machine, does not build, or does not happen in time.
pub fn demo(options: Options) -> Result<()> {
    tools::ensure_system(For::Demo)?;
    let teller = Teller::new(options.json);
    let programs = workspace::build(&["ibakd", "ibakctl", "ibak-sim"], Profile::Dev)?;
    let mut stage = Stage::set_up(&programs, &phones::ALL, DAY, SETTLE, options.keep)?;
    let mut result = play(&stage, teller).map_err(|error| stage.explain(error))?;
    if options.keep {
        result["env"] = json!(
            stage
                .environment()
                .iter()
                .cloned()
                .collect::<std::collections::BTreeMap<_, _>>()
        );
        result["stop"] = json!(stage.leave_running()?);
        invite(&stage, teller);
    } else {
        result["env"] = json!({});
        stage.leave_store();
        teller.part("The curtain falls");
        teller
            .tell("Everything that was started has been stopped; the backups stay where they are.");
        teller.tell(&format!("To remove them: rm -r {}", stage.path().display()));
        teller.tell("To have it go on, and play with `ibakctl`: cargo xtask demo --keep");
    }
    if options.json {
        crate::say::answer(&result.to_string());
    }
    Ok(())
}

fn play(stage: &Stage, teller: Teller) -> Result<Value> {
    let mut house = House::watch(stage, ADA)?;
    first_night(stage, &mut house, teller)?;
    next_day(stage, &mut house, teller)?;
    a_phone_that_asks(stage, &mut House::watch(stage, BEN)?, teller)?;
    what_there_is(stage, teller)
}

fn first_night(stage: &Stage, house: &mut House, teller: Teller) -> Result<()> {
    teller.part("An evening");
    teller.tell(&format!(
        "The daemon runs on a bus of its own. A day lasts {} s here, and the conditions settle in {} s.",
        DAY.as_secs(),
        SETTLE.as_secs()
    ));
    teller.tell(stage.wifi().explanation());
    stage.show(teller, &["status"])?;

    teller.part("Ada comes home and plugs her phone in");
    stage.phone(ADA, &["attached=usb", "power=on"])?;
    house.wait_for("power to be seen", |house| {
        house.condition("power") == Some("met")
    })?;
    stage.show(teller, &["why", "ada"])?;

    teller.part("It joins the Wi-Fi");
    stage.phone(ADA, &["wifi=on"])?;
    house.wait_for("the Wi-Fi to be seen", |house| {
        house.condition("wifi") == Some("met")
    })?;
    stage.show(teller, &["why", "ada"])?;

    teller.part("Ada locks it and goes to bed");
    stage.phone(ADA, &["locked=yes"])?;
    house.wait_for("the lock to be seen", |house| {
        house.condition("locked") == Some("met")
    })?;
    stage.show(teller, &["why", "ada"])?;

    teller.part("Nobody touches anything");
    let watching = stage.show_running(teller, &["watch", "ada"])?;
    house.wait_for("the first backup", |house| house.completed.len() == 1)?;
    watching.until_line_with("backup worked")?;
    expect_success(house, 0)?;
    stage.show(teller, &["status"])?;
    stage.show(teller, &["why", "ada"])?;
    stage.show(teller, &["backups"])
}

fn next_day(stage: &Stage, house: &mut House, teller: Teller) -> Result<()> {
    teller.part("The next day the phone is out, and it comes home fuller");
    stage.phone(
        ADA,
        &["locked=no", "power=off", "wifi=off", "attached=none"],
    )?;
    stage.simulator(&[&["change", stage.udid()], OVERNIGHT.as_slice()].concat())?;
    house.wait_for("the phone to be gone", |house| {
        house.phone["transports"] == json!([]) && house.condition("wifi") != Some("met")
    })?;
    house.wait_for("the next backup to be due", |house| !house.waits_for("due"))?;
    stage.show(teller, &["why", "ada"])?;
    stage.phone(ADA, &["attached=usb", "power=on", "wifi=on"])?;
    house.wait_for("power and Wi-Fi", |house| {
        (house.condition("power"), house.condition("wifi")) == (Some("met"), Some("met"))
    })?;

    teller.part("The next evening Ada wants to see it: she asks, and then locks her phone");
    stage.show(teller, &["why", "ada"])?;
    let asked = stage.begin(teller, &["backup", "ada", "--when-ready", "--wait"])?;
    house.wait_for("the backup to be asked for", House::running)?;
    stage.phone(ADA, &["locked=yes"])?;
    asked.end().context("the second backup")?;
    house.wait_for("the second backup", |house| house.completed.len() == 2)?;
    expect_success(house, 1)?;
    stage.show(teller, &["status"])?;
    stage.show(teller, &["backups"])
}

/// A phone that asks for its passcode is asked while somebody has it in hand, and nothing moves
/// before it is locked again.
fn a_phone_that_asks(stage: &Stage, house: &mut House, teller: Teller) -> Result<()> {
    teller.part("Ben's newer phone asks for its passcode before every backup");
    teller.tell("At home it is asked in the evening (`ask_window`), here at any time.");
    stage.phone(BEN, &["attached=usb", "power=on", "wifi=on"])?;
    house.wait_for("power, Wi-Fi and the lock", |house| {
        let met = |name| house.condition(name) == Some("met");
        met("power") && met("wifi") && met("locked") && house.phone["passcode"] == "asks"
    })?;
    stage.show(teller, &["why", "ben"])?;

    teller.part("Ben takes it in his hand");
    stage.phone(BEN, &["locked=no"])?;
    house.wait_for("the phone to ask", |house| house.phase() == Some("asking"))?;
    stage.show(teller, &["why", "ben"])?;

    teller.part("He types his passcode, and reads on");
    stage.phone(BEN, &["passcode-answer=give"])?;
    house.wait_for("the passcode", |house| {
        house.phase() == Some("awaiting-lock")
    })?;
    stage.show(teller, &["why", "ben"])?;

    teller.part("He locks it and goes to bed");
    stage.phone(BEN, &["locked=yes"])?;
    house.wait_for("the backup", |house| house.completed.len() == 1)?;
    expect_success(house, 0)?;
    stage.show(teller, &["why", "ben"])?;
    stage.show(teller, &["status"])
}

fn what_there_is(stage: &Stage, teller: Teller) -> Result<Value> {
    let backups = stage.ask(&["backups", stage.udid(), "--json"])?;
    let list = backups["backups"]
        .as_array()
        .context("`ibakctl backups --json` has no list")?;
    let verified = list
        .iter()
        .filter(|backup| !backup["verified"].is_null())
        .count();
    let (store, udid) = (stage.store(), stage.udid());
    let newest = store.join(udid).join("latest").join(udid);
    teller.part("What there is");
    teller.tell(&format!(
        "{} backups of Ada's iPhone, {verified} verified, in {}",
        list.len(),
        store.display()
    ));
    teller.tell(&format!(
        "The newest, as a plain backup that other tools open: {}",
        newest.display()
    ));
    ensure!(
        newest.join("Manifest.db").is_file(),
        "the newest backup has no Manifest.db"
    );
    Ok(json!({ "committed": list.len(), "verified": verified, "store": store, "udid": udid }))
}

fn expect_success(house: &House, which: usize) -> Result<()> {
    let end = house.completed.get(which).context("no such end")?;
    ensure!(end["result"] == "succeeded", "the backup ended with {end}");
    Ok(())
}

fn invite(stage: &Stage, teller: Teller) {
    teller.part("It goes on without us");
    teller.tell("To play with it:");
    for (name, value) in stage.environment() {
        teller.tell(&format!("  export {name}='{value}'"));
    }
    teller.tell("  ibakctl why ada");
    teller.tell(&format!(
        "  ibak-sim --control {} set {} locked=no",
        stage.control().display(),
        stage.udid()
    ));
    teller.tell(&format!(
        "To end it and remove its directory: {}",
        stage.stop_script().display()
    ));
}
