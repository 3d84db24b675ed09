//! Where a password comes from when nobody is asked: a file descriptor or a systemd credential.

use super::{PASSWORD_BYTES_MAX, Password};
use crate::failure::{Exit, Failure};
use rustix::fs::{Mode, OFlags, open};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use tokio::io::unix::AsyncFd;
use zeroize::Zeroizing;

/// Is the variable that names the directory of a service's credentials.
const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";

/// Which password is wanted, and where it may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    /// The number of the descriptor the command line names, if it does.
    pub(crate) fd: Option<u32>,
    /// The option that names it.
    pub(crate) option: &'static str,
    /// The name of the systemd credential.
    pub(crate) credential: &'static str,
}

impl Source {
    /// Is the password that holds.
    pub(crate) const fn password(fd: Option<u32>) -> Self {
        Self {
            fd,
            option: "--password-fd",
            credential: "ibak-password",
        }
    }

    /// Is the password that is to hold from here on, where there is another one already.
    pub(crate) const fn new_password(fd: Option<u32>) -> Self {
        Self {
            fd,
            option: "--new-password-fd",
            credential: "ibak-new-password",
        }
    }
}

/// Reads the password of a descriptor, or else of a credential; `None` when there is neither.
///
/// # Errors
/// [`Exit::Usage`] when what is there cannot be read or is no password.
pub(crate) async fn given(source: &Source) -> Result<Option<Password>, Failure> {
    let (path, what) = match source.fd {
        // Opened anew: a number alone may not be turned into a descriptor without `unsafe`.
        Some(number) => (
            PathBuf::from(format!("/proc/self/fd/{number}")),
            format!("{} {number}", source.option),
        ),
        None => {
            let Some(directory) = std::env::var_os(CREDENTIALS_VARIABLE) else {
                return Ok(None);
            };
            let path = PathBuf::from(directory).join(source.credential);
            if !path.exists() {
                return Ok(None);
            }
            (path, format!("the credential {}", source.credential))
        }
    };
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let read = async { read_to_end(open(&path, flags, Mode::empty())?).await };
    let bytes = read.await.map_err(|error| {
        Failure::new(Exit::Usage, format!("cannot read the password from {what}"))
            .because(error.to_string())
    })?;
    Password::parse(&bytes).map(Some).map_err(|unfit| {
        Failure::new(
            Exit::Usage,
            format!("the password from {what} {}", unfit.phrase()),
        )
    })
}

/// Reads at most one byte more than a password may have, and does not stand in the way of Ctrl-C.
async fn read_to_end(fd: OwnedFd) -> io::Result<Zeroizing<Vec<u8>>> {
    let most = PASSWORD_BYTES_MAX + 2;
    let mut bytes = Zeroizing::new(Vec::with_capacity(most));
    let mut block = Zeroizing::new([0_u8; 512]);
    let mut fd = Some(fd);
    let mut waiting: Option<AsyncFd<OwnedFd>> = None;
    while bytes.len() < most {
        let read = match (&fd, &waiting) {
            (Some(plain), _) => match rustix::io::read(plain, &mut *block) {
                // A pipe that is still empty can be waited for; a file never says this.
                Err(rustix::io::Errno::AGAIN) => {
                    waiting = fd.take().map(super::watched).transpose()?;
                    continue;
                }
                read => read?,
            },
            (None, Some(waiting)) => {
                let mut ready = waiting.readable().await?;
                match ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut *block)?)) {
                    Ok(read) => read?,
                    Err(_) => continue,
                }
            }
            (None, None) => 0,
        };
        if read == 0 {
            break;
        }
        let room = most - bytes.len();
        bytes.extend_from_slice(block.get(..read.min(room)).unwrap_or_default());
    }
    Ok(bytes)
}
