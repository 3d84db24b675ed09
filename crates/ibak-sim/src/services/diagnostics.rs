//! com.apple.mobile.diagnostics_relay: the IO registry, the battery, MobileGestalt.
//!
//! Source: corpus `mux/diagnostics_battery.json`, `lockdown/replies.json`.

use std::io;
use std::sync::Arc;

use plist::{Dictionary, Value};

use crate::identity::IosVersion;
use crate::phone::Phone;
use crate::wire::{self, BoxIo, dict};

/// From here on MobileGestalt answers only that it is deprecated.
const GESTALT_ENDED: IosVersion = IosVersion::new(17, 4, 0);
/// What the battery was made for, in mAh.
const DESIGN_MAH: u64 = 3329;

pub(super) async fn serve(mut stream: BoxIo, phone: Arc<Phone>) -> io::Result<()> {
    while let Some(request) = wire::read_dict(&mut stream).await? {
        let name = request.get("Request").and_then(Value::as_string);
        let answer = match name {
            Some("All") => success(dict([
                ("GasGauge", gas_gauge(&phone)),
                ("WiFi", wifi(&phone)),
            ])),
            Some("GasGauge") => success(dict([("GasGauge", gas_gauge(&phone))])),
            Some("WiFi") => success(dict([("WiFi", wifi(&phone))])),
            Some("IORegistry") => success(dict([("IORegistry", registry(&phone, &request))])),
            Some("MobileGestalt") => success(dict([("MobileGestalt", gestalt(&phone, &request))])),
            Some("Goodbye") => dict([("Status", "Success".into())]),
            Some(_) | None => dict([("Status", "UnknownRequest".into())]),
        };
        wire::write(&mut stream, &answer).await?;
        if name == Some("Goodbye") {
            return Ok(());
        }
    }
    Ok(())
}

fn success(diagnostics: Value) -> Value {
    dict([("Diagnostics", diagnostics), ("Status", "Success".into())])
}

/// FullChargeCapacity is a percentage since 12.2.
fn gas_gauge(phone: &Phone) -> Value {
    let full = if phone.identity().ios >= IosVersion::new(12, 2, 0) {
        100
    } else {
        1_800
    };
    dict([
        ("CycleCount", 90.into()),
        ("DesignCapacity", 100.into()),
        ("FullChargeCapacity", full.into()),
        ("Status", "Success".into()),
    ])
}

fn wifi(phone: &Phone) -> Value {
    let state = phone.state();
    dict([
        ("Connected", state.wifi.is_on().into()),
        ("Status", "Success".into()),
    ])
}

/// Finds an entry by its name or class; what is not there is an empty dictionary.
fn registry(phone: &Phone, request: &Dictionary) -> Value {
    let text = |key: &str| request.get(key).and_then(Value::as_string);
    let battery = battery_entry(phone);
    let asked = text("EntryName").or_else(|| text("EntryClass"));
    match asked {
        Some(name) if name == battery || name == "IOPMPowerSource" => power_source(phone),
        Some(_) | None => Value::Dictionary(Dictionary::new()),
    }
}

/// Returns the battery's entry: another one up to iPhone 7.
fn battery_entry(phone: &Phone) -> &'static str {
    if phone.product().chip_id >= 0x8015 && phone.product().chip_id < 0x8900 {
        "AppleSmartBattery"
    } else {
        "AppleARMPMUCharger"
    }
}

fn power_source(phone: &Phone) -> Value {
    let state = phone.state();
    let (percent, power) = (u64::from(state.battery), state.power.is_on());
    let charging = state.is_charging();
    let raw = DESIGN_MAH * percent / 100;
    let data = dict([
        ("AppleRawMaxCapacity", DESIGN_MAH.into()),
        ("CellVoltage", vec![Value::from(4205)].into()),
        ("CurrentCapacity", percent.into()),
        ("DesignCapacity", DESIGN_MAH.into()),
        ("FullChargeCapacity", DESIGN_MAH.into()),
        ("MaxCapacity", 100.into()),
        ("NominalChargeCapacity", DESIGN_MAH.into()),
    ]);
    let amperage = if charging { 1504 } else { -312 };
    dict([
        ("Amperage", amperage.into()),
        ("AppleRawCurrentCapacity", raw.into()),
        ("AppleRawExternalConnected", power.into()),
        ("AppleRawMaxCapacity", DESIGN_MAH.into()),
        ("AtCriticalLevel", (percent < 3).into()),
        ("AtWarnLevel", (percent < 20).into()),
        ("BatteryData", data),
        ("BatteryInstalled", true.into()),
        ("CurrentCapacity", percent.into()),
        ("CycleCount", 90.into()),
        ("DesignCapacity", DESIGN_MAH.into()),
        ("ExternalChargeCapable", power.into()),
        ("ExternalConnected", power.into()),
        ("FullyCharged", (percent == 100).into()),
        ("InstantAmperage", amperage.into()),
        ("IsCharging", charging.into()),
        ("MaxCapacity", 100.into()),
        ("NominalChargeCapacity", DESIGN_MAH.into()),
        ("Temperature", 2809.into()),
        ("UpdateTime", 0.into()),
        ("VirtualTemperature", 2550.into()),
        ("Voltage", 4205.into()),
    ])
}

fn gestalt(phone: &Phone, request: &Dictionary) -> Value {
    let identity = phone.identity();
    if identity.ios >= GESTALT_ENDED {
        return dict([("Status", "MobileGestaltDeprecated".into())]);
    }
    let asked = request
        .get("MobileGestaltKeys")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let mut found = Dictionary::new();
    for key in asked.iter().filter_map(Value::as_string) {
        let value: Value = match key {
            "BuildVersion" => identity.build.clone().into(),
            "DeviceClass" => identity.device_class.clone().into(),
            "HWModelStr" => identity.hardware_model.clone().into(),
            "PasswordConfigured" => phone.state().passcode.is_on().into(),
            "PasswordProtected" => phone.state().is_protected().into(),
            "ProductType" => identity.product_type.clone().into(),
            "ProductVersion" => identity.ios.to_string().into(),
            "SerialNumber" => identity.serial.clone().into(),
            "UniqueDeviceID" => identity.udid.clone().into(),
            "marketing-name" => phone.product().market_name.clone().into(),
            _ => continue,
        };
        found.insert(key.to_owned(), value);
    }
    found.insert("Status".to_owned(), "Success".into());
    found.into()
}
