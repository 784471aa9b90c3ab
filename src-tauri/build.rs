//! Compiles the Tauri configuration and the permissions of our own commands.

fn main() {
    // The page is embedded when the window is compiled; an empty folder keeps checks and lints
    // of this crate possible before the page has been built.
    let _ = std::fs::create_dir_all("../ui/dist");
    let commands = &[
        "link_open",
        "link_send",
        "link_close",
        "api_request",
        "follow_link",
        "save_text",
    ];
    let attributes =
        tauri_build::Attributes::new().app_manifest(tauri_build::AppManifest::new().commands(commands));
    if let Err(error) = tauri_build::try_build(attributes) {
        panic!("the Tauri configuration does not compile: {error:#}");
    }
}
