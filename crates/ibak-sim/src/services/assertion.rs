//! com.apple.mobile.assertion_agent: keeps the phone awake while the connection is open.
//!
//! Nothing public shows its replies (corpus, assertion_agent.json); hosts wait for one, so each
//! command gets an empty dictionary.

use std::io;

use plist::{Dictionary, Value};

use crate::wire::{self, BoxIo};

pub(super) async fn serve(mut stream: BoxIo) -> io::Result<()> {
    while wire::read_dict(&mut stream).await?.is_some() {
        wire::write(&mut stream, &Value::Dictionary(Dictionary::new())).await?;
    }
    Ok(())
}
