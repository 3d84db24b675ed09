//! A private bus.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A `dbus-daemon` of its own; killed when dropped.
#[derive(Debug)]
pub struct Bus {
    process: Child,
    /// Where it listens.
    pub address: String,
}

impl Bus {
    /// Starts one with its socket in `dir`, open to every user of the machine.
    pub fn start(dir: &Path) -> Self {
        let config = dir.join("bus.conf");
        let text = format!(
            "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\"\n \
             \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n<busconfig>\n \
             <listen>unix:path={}</listen>\n <auth>EXTERNAL</auth>\n <policy context=\"default\">\n  \
             <allow user=\"*\"/>\n  <allow own=\"*\"/>\n  <allow send_destination=\"*\" eavesdrop=\"true\"/>\n  \
             <allow receive_sender=\"*\" eavesdrop=\"true\"/>\n </policy>\n</busconfig>\n",
            dir.join("bus").display()
        );
        std::fs::write(&config, text).unwrap();
        let mut process = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", config.display()))
            .args(["--nofork", "--print-address=1"])
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(dir.join("bus.log")).unwrap())
            .spawn()
            .expect("dbus-daemon starts (Debian: dbus)");
        let mut address = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut address)
            .unwrap();
        let address = address.trim().to_owned();
        assert!(address.starts_with("unix:"), "dbus-daemon said {address:?}");
        Self { process, address }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        // It may have ended already, which is as good.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
