//! Whether a user of this computer is the one whom the configuration names.
//!
//! /etc/passwd knows most; users from elsewhere (LDAP, systemd-homed) are known to logind while
//! they are logged in.

use std::time::Duration;
use zbus::wire::OwnedObjectPath;
use zbus::{Connection, proxy};

/// Where users are listed.
const PASSWD: &str = "/etc/passwd";
/// Largest list that is read.
const PASSWD_MAX: u64 = 4 << 20;
/// How long logind may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

#[proxy(
    interface = "org.freedesktop.login1.Manager",
    default_service = "org.freedesktop.login1",
    default_path = "/org/freedesktop/login1"
)]
trait Logins {
    fn get_user(&self, uid: u32) -> zbus::Result<OwnedObjectPath>;
}

#[proxy(
    interface = "org.freedesktop.login1.User",
    default_service = "org.freedesktop.login1",
    assume_defaults = false
)]
trait Login {
    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> zbus::Result<String>;
}

/// Tells whether the user with this number is `owner`, a login name or a number.
pub(super) async fn is(connection: &Connection, uid: u32, owner: &str) -> bool {
    if let Ok(number) = owner.parse::<u32>() {
        return uid == number;
    }
    match listed(&list().await, owner) {
        Some(found) => uid == found,
        None => {
            let asked = tokio::time::timeout(ANSWER_TIMEOUT, login_name(connection, uid)).await;
            matches!(asked, Ok(Ok(name)) if name == owner)
        }
    }
}

async fn login_name(connection: &Connection, uid: u32) -> zbus::Result<String> {
    let path = LoginsProxy::new(connection).await?.get_user(uid).await?;
    let login = LoginProxy::builder(connection).path(path).build().await?;
    login.name().await
}

async fn list() -> String {
    crate::executor::blocking(|| {
        use std::io::Read;
        let mut text = String::new();
        let read = std::fs::File::open(PASSWD)
            .and_then(|file| file.take(PASSWD_MAX).read_to_string(&mut text));
        match read {
            Ok(_) => text,
            Err(error) => {
                tracing::warn!(%error, "{PASSWD} cannot be read");
                String::new()
            }
        }
    })
    .await
}

/// Finds a user's number in the list.
fn listed(list: &str, owner: &str) -> Option<u32> {
    list.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (name == owner).then(|| number.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_the_whole_name() {
        let list = "root:x:0:0:root:/root:/bin/bash\nadam:x:1001:100::/home/adam:/bin/sh\n\
                    ada:x:1000:100:Ada,,:/home/ada:/bin/sh\nbroken\nodd:x:many:1::/:/bin/sh\n";
        for (name, want) in [
            ("ada", Some(1000)),
            ("adam", Some(1001)),
            ("root", Some(0)),
            ("ad", None),
            ("", None),
            ("odd", None),
            ("broken", None),
        ] {
            assert_eq!(listed(list, name), want, "{name}");
        }
    }
}
