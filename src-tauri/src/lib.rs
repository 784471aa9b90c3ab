//! The desktop window: one page, an embedded relay with a local store, and its AI peers.
//!
//! **Invariant:** the page reaches the relay through [`window_link`] and [`commands`] only; it has no
//! other way to a document, a file or the network. What leaves the window goes through [`outside`].

mod commands;
mod config;
mod error;
mod outside;
mod problem;
mod runtime;
mod window_link;

pub use config::{Command, Config};

use std::io::Write as _;

use anyhow::Context as _;
use tauri::{Manager as _, WebviewUrl, WebviewWindowBuilder};

/// Opens the store, starts the relay and its AI peers, shows the window and returns when it is closed.
///
/// # Errors
/// When the store cannot be opened (another Inkling uses it, or the disk refuses) or the window system is missing.
#[expect(
    clippy::needless_pass_by_value,
    reason = "it is the window's for as long as that is open"
)]
pub fn run(config: Config) -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    let background = match runtime::start(&config) {
        Ok(background) => background,
        Err(problem) => {
            tracing::error!("{problem:#}");
            problem::show(&problem)?;
            anyhow::bail!("it could not start; what was wrong is said above, and was in its window");
        }
    };
    let relay = background.relay();
    let page = format!("index.html#/d/{}", background.first_document()?);
    let app = tauri::Builder::default()
        .manage(window_link::WindowLinks::new(relay.clone(), background.handle()))
        .manage(relay)
        .invoke_handler(tauri::generate_handler![
            commands::link_open,
            commands::link_send,
            commands::link_close,
            commands::api_request,
            commands::follow_link,
            commands::save_text
        ])
        .setup(move |app| {
            WebviewWindowBuilder::new(app, "main", WebviewUrl::App(page.into()))
                .title("Inkling")
                .inner_size(1240.0, 820.0)
                .min_inner_size(420.0, 420.0)
                .on_document_title_changed(|window, title| {
                    // A window that refuses its title is on its way out.
                    drop(window.set_title(&title));
                })
                .build()?;
            Ok(())
        })
        .build(context())
        .context("the window could not be opened; is a display available?")?;
    app.run(|handle, event| {
        if matches!(event, tauri::RunEvent::ExitRequested { .. }) {
            handle.state::<window_link::WindowLinks>().close_all();
        }
    });
    background.shutdown();
    Ok(())
}

/// Does a command, without a window.
///
/// # Errors
/// Words about what is wrong; of the self-test, its report when there is no model, and that no device runs it that was named.
pub fn command(config: &Config, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Doctor => {
            let settings = config.ai(&runtime::data_folder(config)?)?;
            let (report, as_asked) = sync_server::ai::doctor(settings).map_err(anyhow::Error::msg)?;
            // A closed standard output is no reason not to do it.
            drop(std::io::stdout().write_all(report.as_bytes()));
            anyhow::ensure!(as_asked, "none of the devices asked for runs the model");
            Ok(())
        }
    }
}

/// The configuration and the page, which are built into the program: here, so that they are in it once.
#[expect(clippy::exit, reason = "what the macro expands to")]
fn context() -> tauri::Context {
    tauri::generate_context!()
}
