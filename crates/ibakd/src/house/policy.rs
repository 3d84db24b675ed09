//! From the configuration to the core's policies.

use crate::config::{Config, OnLoss, Requirement};
use ibak_core as core;
use std::time::Duration;

/// Converts the configuration by hand, as every border is crossed.
pub(super) fn policies(config: &Config) -> core::Policies {
    let need = |requirement| match requirement {
        Requirement::Required | Requirement::OrUsb => core::Need::Required,
        Requirement::Ignored => core::Need::Ignored,
    };
    let on_loss = |loss| match loss {
        OnLoss::Finish => core::OnLoss::Finish,
        OnLoss::Grace(time) => core::OnLoss::Grace(time),
        OnLoss::Stop => core::OnLoss::Stop,
    };
    let default = core::Policy {
        cadence: if config.cron.is_some() {
            core::Cadence::Calendar
        } else {
            core::Cadence::Interval
        },
        power: need(config.power),
        wifi: match config.wifi {
            Requirement::Required => core::WifiNeed::Required,
            Requirement::OrUsb => core::WifiNeed::OrUsb,
            Requirement::Ignored => core::WifiNeed::Ignored,
        },
        locked: need(config.locked),
        interval: config.interval,
        settle: config.settle,
        backoff: core::Backoff {
            first: config.backoff_first,
            max: config.backoff_longest,
            first_interruption: config
                .backoff_first
                .min(core::Backoff::default().first_interruption),
        },
        on_loss: core::LossTable {
            power: on_loss(config.power_lost),
            wifi: on_loss(config.wifi_lost),
            locked: on_loss(config.locked_lost),
            space: core::OnLoss::Stop,
        },
        battery_min: (config.battery_min > 0).then_some(config.battery_min),
        hold_until_locked_max: config.hold_until_locked_max,
        overdue_after: config.overdue,
        password_check: (config.password_check_days > 0)
            .then(|| Duration::from_secs(86_400 * u64::from(config.password_check_days))),
        keep: core::Keep {
            last: config.keep[0],
            daily: config.keep[1],
            weekly: config.keep[2],
            monthly: config.keep[3],
            yearly: config.keep[4],
        },
        ..core::Policy::default()
    };
    core::Policies {
        parallel_max: usize::try_from(config.parallel_max).unwrap_or(1),
        default,
        ..core::Policies::default()
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
