//! Writes the build context of a folder to standard output: what `cargo xtask bench context` measures.
//!
//! `context_tar FOLDER IGNORE-FILE`

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use agentcore_docker::context::{IgnoreRules, archive, files};
use futures_util::{StreamExt, pin_mut};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(folder), Some(ignore_file)) = (arguments.next(), arguments.next()) else {
        return Err("usage: context_tar FOLDER IGNORE-FILE".into());
    };
    let rules = IgnoreRules::parse(&fs::read(ignore_file)?)?;
    let chunks = archive(&folder, files(&folder, &rules), Vec::new());
    pin_mut!(chunks);
    let mut stdout = io::stdout().lock();
    while let Some(chunk) = chunks.next().await {
        stdout.write_all(&chunk?)?;
    }
    Ok(())
}
