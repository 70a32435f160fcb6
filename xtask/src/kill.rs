//! `cargo xtask kill`: the server, killed under load again and again.

use crate::options::Options;
use crate::run::{Result, cargo, run};

pub(crate) const USAGE: &str = "[--resume] [--rounds N] [--seed N] [--postgres]";
pub(crate) const HELP: &str = "\
Kills the server with SIGKILL while clients change rosters and send messages to people who are away, starts it
again, and asks clients whether everything that they were told is there, and every message once.
  --resume    clients that resume instead (XEP-0198): the server is killed, or ended with SIGTERM, while they exchange
              numbered messages; after SIGTERM they resume and have got all of these once, and after a kill what waited
              for a client without a connection is there
  --rounds N  so many times; 200 unless told otherwise
  --seed N    makes the choices of an earlier run again, though not at the same moments
  --postgres  with the accounts in PostgreSQL, too, if there is one";

pub(crate) fn main(args: &[String]) -> Result {
    let mut options = Options::new(args);
    let rounds = options.number("--rounds")?.unwrap_or(200);
    let seed = options.number("--seed")?;
    let (postgres, resume) = (options.flag("--postgres"), options.flag("--resume"));
    if let Some(unknown) = options.rest()?.first() {
        return Err(format!("what is `{unknown}`? See --help"));
    }
    let mut command = cargo(&["test", "-p", "balcony-cli", "--test", "kill"]);
    command.arg(match (resume, postgres) {
        (true, true) => "clients_resume",
        (true, false) => "clients_resume_in_the_file",
        (false, true) => "what_clients_were_told",
        (false, false) => "what_clients_were_told_is_in_the_file",
    });
    command.args(["--", "--nocapture"]).env("BALCONY_KILL_ROUNDS", rounds.to_string());
    if let Some(seed) = seed {
        command.env("BALCONY_KILL_SEED", seed.to_string());
    }
    run(&mut command)
}
