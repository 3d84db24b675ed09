//! A simulated iPhone that other people's clients believe.

use std::io::Write as _;
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("IBAK_SIM_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let done = tokio::runtime::Runtime::new()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| {
            runtime.block_on(ibak_sim::cli::run(
                std::env::args_os(),
                &mut std::io::stdout(),
            ))
        });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let said = writeln!(std::io::stderr(), "ibak-sim: {error}");
            drop(said);
            ExitCode::from(2)
        }
    }
}
