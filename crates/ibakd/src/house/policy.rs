//! From the configuration to the core's policies.

use crate::config::{Config, HostPower, OnLoss, Requirement, Rules};
use ibak_core as core;
use std::time::Duration;

/// Converts the configuration by hand, as every border is crossed.
pub(super) fn policies(config: &Config) -> core::Policies {
    core::Policies {
        parallel_max: usize::try_from(config.parallel_max).unwrap_or(1),
        host_power: match config.host_power {
            HostPower::Ac => core::HostPower::Ac,
            HostPower::Any => core::HostPower::Any,
        },
        default: policy(&config.rules, cadence(config)),
        ..core::Policies::default()
    }
}

/// Says what makes a backup due, for all phones alike.
pub(super) fn cadence(config: &Config) -> core::Cadence {
    match config.cron {
        Some(_) => core::Cadence::Calendar,
        None => core::Cadence::Interval,
    }
}

/// Converts what holds for one phone.
pub(super) fn policy(rules: &Rules, cadence: core::Cadence) -> core::Policy {
    let need = |requirement| match requirement {
        Requirement::Required | Requirement::OrUsb => core::Need::Required,
        Requirement::Ignored => core::Need::Ignored,
    };
    let on_loss = |loss| match loss {
        OnLoss::Finish => core::OnLoss::Finish,
        OnLoss::Grace(time) => core::OnLoss::Grace(time),
        OnLoss::Stop => core::OnLoss::Stop,
    };
    let [last, daily, weekly, monthly, yearly] = rules.keep;
    core::Policy {
        automatic: rules.automatic,
        window: rules.window.clone(),
        ask: core::AskPolicy {
            window: rules.ask_window.clone(),
            per_day: rules.asks_per_day,
            every: rules.ask_every,
        },
        cadence,
        power: need(rules.power),
        wifi: match rules.wifi {
            Requirement::Required => core::WifiNeed::Required,
            Requirement::OrUsb => core::WifiNeed::OrUsb,
            Requirement::Ignored => core::WifiNeed::Ignored,
        },
        locked: need(rules.locked),
        interval: rules.interval,
        settle: rules.settle,
        backoff: core::Backoff {
            first: rules.backoff_first,
            max: rules.backoff_longest,
            first_interruption: rules
                .backoff_first
                .min(core::Backoff::default().first_interruption),
        },
        on_loss: core::LossTable {
            power: on_loss(rules.power_lost),
            wifi: on_loss(rules.wifi_lost),
            locked: on_loss(rules.locked_lost),
            space: core::OnLoss::Stop,
        },
        battery_min: (rules.battery_min > 0).then_some(rules.battery_min),
        hold_until_locked_max: rules.hold_until_locked_max,
        overdue_after: rules.overdue,
        password_check: (rules.password_check_days > 0)
            .then(|| Duration::from_secs(86_400 * u64::from(rules.password_check_days))),
        keep: core::Keep {
            last,
            daily,
            weekly,
            monthly,
            yearly,
        },
        ..core::Policy::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_agree_with_the_core() {
        let policies = policies(&Config::parse("").unwrap());
        assert_eq!(policies.check(), Ok(()));
        let default = core::Policies::default();
        let backoff = policies.default.backoff;
        assert_eq!(
            core::Policies {
                default: core::Policy {
                    backoff: default.default.backoff,
                    ..policies.default
                },
                ..policies
            },
            default
        );
        assert!(backoff.first <= backoff.max);
    }
}
