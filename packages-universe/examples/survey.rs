//! Loads a directory of packages, renders each with its defaults, and says which cannot be.

#![expect(clippy::print_stdout, reason = "it is a program for people")]

use std::path::Path;

use universe::{RenderError, Request, load, render};

fn main() -> Result<(), load::LoadError> {
    for path in std::env::args().skip(1) {
        let loaded = load::directory(Path::new(&path))?;
        for fault in loaded.errors() {
            println!("{fault}");
        }
        let (mut good, mut bad) = (0, 0);
        for package in &loaded.packages {
            match render(package, &Request { id: Some("it".to_owned()), ..Request::default() }) {
                Ok(_) | Err(RenderError::CliOnly) => good += 1,
                Err(error) => {
                    bad += 1;
                    println!("{} {} ({}): {error}", package.name, package.version, package.release);
                }
            }
        }
        println!("{path}: {good} render, {bad} do not, {} cannot be loaded", loaded.errors().count());
    }
    Ok(())
}
