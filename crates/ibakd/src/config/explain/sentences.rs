//! What holds for a phone, a sentence each.

use crate::config::{OnLoss, Requirement, Rules, written};

/// Says what these rules mean. Each sentence stands for itself.
pub(super) fn sentences(rules: &Rules, cron: Option<&str>) -> Vec<String> {
    let mut lines = vec![when(rules, cron)];
    if cron.is_some() && rules.interval != Rules::default().interval {
        lines.push("Its `interval` does not count, as `cron` says when it is due.".to_owned());
    }
    lines.push(start(rules));
    for (event, loss) in [
        ("power is lost", rules.power_lost),
        ("Wi-Fi is lost and there is no cable", rules.wifi_lost),
        ("its screen is unlocked", rules.locked_lost),
    ] {
        lines.push(format!("If {event} meanwhile, it {}.", on_loss(loss)));
    }
    lines.push(asking(rules));
    if rules.is_never_asked() {
        lines.push("But it is never asked: there is no time of the week that lies in both `window` and `ask_window`.".to_owned());
    }
    lines.push(format!(
        "After a failure it is tried again in {}, then later each time, up to {}.",
        written(rules.backoff_first),
        written(rules.backoff_longest)
    ));
    lines.push(format!("It is overdue after {}.", written(rules.overdue)));
    lines.push(format!("Of its backups these stay: {}.", kept(rules.keep)));
    lines.push(match rules.password_check_days {
        0 => "Nobody is reminded to check its backup password.".to_owned(),
        1 => "Its backup password is to be checked every day.".to_owned(),
        days => format!("Its backup password is to be checked every {days} days."),
    });
    lines.push(match rules.notify.as_slice() {
        [] => "People are told of it on all channels.".to_owned(),
        names => format!("People are told of it on: {}.", names.join(", ")),
    });
    lines.push(match &rules.owner {
        None => "Whoever may read its backups sees when each condition held.".to_owned(),
        Some(owner) => format!("Only {owner} and root see when each condition held."),
    });
    lines
}

fn when(rules: &Rules, cron: Option<&str>) -> String {
    if !rules.automatic {
        return "It is not backed up by itself.".to_owned();
    }
    let due = match cron {
        Some(expression) => format!("at the times of the cron expression `{expression}`"),
        None => format!("every {}", written(rules.interval)),
    };
    let window = if rules.window.is_always() {
        "at any time of day".to_owned()
    } else {
        format!("beginning within {}", rules.window)
    };
    format!("It is backed up {due}, {window}.")
}

fn start(rules: &Rules) -> String {
    let wifi = match rules.wifi {
        Requirement::Required => Some("Wi-Fi"),
        Requirement::OrUsb => Some("Wi-Fi or a cable"),
        Requirement::Ignored => None,
    };
    let counts = |requirement, words| match requirement {
        Requirement::Required | Requirement::OrUsb => Some(words),
        Requirement::Ignored => None,
    };
    let required = [
        counts(rules.power, "power"),
        wifi,
        counts(rules.locked, "a locked screen"),
    ];
    let mut required: Vec<String> = required.into_iter().flatten().map(str::to_owned).collect();
    if rules.battery_min > 0 {
        required.push(format!("{} % of charge", rules.battery_min));
    }
    required.push("space in the store".to_owned());
    let (last, others) = required
        .split_last()
        .map_or((String::new(), &[][..]), |it| (it.0.clone(), it.1));
    let needs = match others {
        [] => last,
        others => format!("{} and {last}", others.join(", ")),
    };
    format!(
        "A backup starts once there was {needs} for {}.",
        written(rules.settle)
    )
}

fn on_loss(loss: OnLoss) -> String {
    match loss {
        OnLoss::Finish => "goes on".to_owned(),
        OnLoss::Grace(time) => format!(
            "waits {} and then stops, keeping what arrived",
            written(time)
        ),
        OnLoss::Stop => "stops, keeping what arrived".to_owned(),
    }
}

fn asking(rules: &Rules) -> String {
    let hold = match rules.hold_until_locked_max.as_secs() {
        0 => "does not wait for the lock".to_owned(),
        _ => format!(
            "waits up to {} for the lock",
            written(rules.hold_until_locked_max)
        ),
    };
    let window = if rules.ask_window.is_always() {
        "at any time".to_owned()
    } else {
        format!("within {}", rules.ask_window)
    };
    let often = match rules.asks_per_day {
        0 => {
            return format!(
                "If it asks for its passcode, somebody starts its backups; one that was confirmed {hold}."
            );
        }
        1 => "at most once a day".to_owned(),
        times => format!(
            "at most {times} times a day and {} apart",
            written(rules.ask_every)
        ),
    };
    format!(
        "If it asks for its passcode, it does so {often}, {window}; a backup that was confirmed {hold}."
    )
}

fn kept([last, daily, weekly, monthly, yearly]: [u16; 5]) -> String {
    let mut parts = vec![match last {
        1 => "the newest".to_owned(),
        many => format!("the newest {many}"),
    }];
    for (count, unit) in [
        (daily, "day"),
        (weekly, "week"),
        (monthly, "month"),
        (yearly, "year"),
    ] {
        match count {
            0 => {}
            1 => parts.push(format!("one of the last {unit}")),
            many => parts.push(format!("one for each of {many} {unit}s")),
        }
    }
    parts.join(", ")
}
