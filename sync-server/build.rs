//! Makes sure that the folder of the web page exists, which is built into the program, and that a new page is noticed.

fn main() -> std::io::Result<()> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../ui/dist");
    std::fs::create_dir_all(&folder)?;
    println!("cargo:rerun-if-changed={}", folder.display());
    println!("cargo:rerun-if-changed=build.rs");
    Ok(())
}
