//! What a configuration means, in words (`ibakd --check`).

use super::{Config, OnLoss, Requirement};
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// Says what `config` means; ends with a newline.
pub fn explain(config: &Config, path: &Path) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        // Writing to a string cannot fail.
        if writeln!(text, "{words}").is_err() {}
    };
    line(format!("{} is good. It means:", path.display()));
    line(format!("  Backups lie in {}.", config.store.display()));
    if !config.store_is_explicit {
        line("  As the file does not name that folder, nothing is backed up by itself while it is on the root file system.".to_owned());
    }
    let when = match &config.cron {
        Some(expression) => format!("at the times of the cron expression `{expression}`"),
        None => format!("every {}", span(config.rules.interval)),
    };
    line(format!(
        "  Each phone is backed up {when}, once these have held for {}:",
        span(config.rules.settle)
    ));
    line(format!("    power   {}", requirement(config.rules.power)));
    line(format!("    wifi    {}", requirement(config.rules.wifi)));
    line(format!("    locked  {}", requirement(config.rules.locked)));
    line("    space   required, always".to_owned());
    if config.rules.battery_min > 0 {
        line(format!(
            "    and the battery is at {} % or more",
            config.rules.battery_min
        ));
    }
    line("  Lost while a backup runs:".to_owned());
    line(format!("    power   {}", on_loss(config.rules.power_lost)));
    line(format!(
        "    wifi    {}, unless there is a cable",
        on_loss(config.rules.wifi_lost)
    ));
    line(format!("    locked  {}", on_loss(config.rules.locked_lost)));
    let many = if config.parallel_max == 1 {
        "1 phone".to_owned()
    } else {
        format!("{} phones", config.parallel_max)
    };
    line(format!(
        "  At most {many} at the same time; overdue after {}.",
        span(config.rules.overdue)
    ));
    line(format!(
        "  Of each phone's backups these stay: {}.",
        kept(config.rules.keep)
    ));
    line(format!(
        "  Everything in the store is read again within {}.",
        span(config.scrub)
    ));
    line(match config.rules.password_check_days {
        0 => "  Nobody is reminded to check the backup password.".to_owned(),
        1 => "  The backup password is to be checked every day.".to_owned(),
        days => format!("  The backup password is to be checked every {days} days."),
    });
    text
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

fn requirement(requirement: Requirement) -> &'static str {
    match requirement {
        Requirement::Required => "required",
        Requirement::Ignored => "ignored",
        Requirement::OrUsb => "required, or a cable to this computer",
    }
}

fn on_loss(loss: OnLoss) -> String {
    match loss {
        OnLoss::Finish => "it goes on".to_owned(),
        OnLoss::Grace(time) => format!(
            "it waits {} and then stops, keeping what arrived",
            span(time)
        ),
        OnLoss::Stop => "it stops, keeping what arrived".to_owned(),
    }
}

fn span(time: Duration) -> String {
    let secs = time.as_secs();
    match secs {
        0 => "0 s".to_owned(),
        secs if secs % 86_400 == 0 => format!("{} d", secs / 86_400),
        secs if secs % 3_600 == 0 => format!("{} h", secs / 3_600),
        secs if secs % 60 == 0 => format!("{} min", secs / 60),
        secs => format!("{secs} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_in_words() {
        insta::assert_snapshot!(explain(
            &Config::parse("").unwrap(),
            Path::new("/etc/ibak/ibakd.toml")
        ));
    }
}
