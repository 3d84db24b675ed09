//! `ibakctl policy --json`.

use super::message;
use crate::render::PolicyReport;
use serde_json::{Value, json};

/// Writes what holds for a phone.
pub fn policy(report: &PolicyReport) -> Value {
    let row = |row: &ibak_dbus::views::PolicyView| {
        json!({
            "key": row.key,
            "value": row.value,
            "source": row.source.as_str(),
            "default": row.default,
        })
    };
    message(
        "policy",
        json!({
            "udid": report.phone.udid.as_str(),
            "keys": report.rows.iter().map(row).collect::<Vec<_>>(),
        }),
    )
}
