//! Compiles the catalogue in: a list of every file below `catalog/` with its content.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=catalog");
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?).join("catalog");
    let mut names = Vec::new();
    collect(&root, "", &mut names)?;
    // So that the same catalogue makes the same program.
    names.sort();
    let mut list = String::from("&[\n");
    for name in names {
        let line = format!("    ({name:?}, include_bytes!({:?})),\n", root.join(&name).display().to_string());
        list.write_str(&line).map_err(io::Error::other)?;
    }
    list.push_str("]\n");
    fs::write(Path::new(&env::var("OUT_DIR").map_err(io::Error::other)?).join("catalog.rs"), list)
}

/// Every file below a directory, by its path with `/`.
fn collect(directory: &Path, before: &str, into: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = format!("{before}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &format!("{name}/"), into)?;
        } else {
            into.push(name);
        }
    }
    Ok(())
}
