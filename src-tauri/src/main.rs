//! The desktop application.
#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let config = inkling_app::Config::parse();
    if let Some(command) = config.command.clone() {
        return match inkling_app::command(&config, &command) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                // Nobody reads it when even this fails.
                drop(writeln!(std::io::stderr(), "inkling: {error:#}"));
                ExitCode::FAILURE
            }
        };
    }
    match inkling_app::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
