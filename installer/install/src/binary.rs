//! What a program file needs of a host: read from its ELF header. Pure.

use std::io::{self, Read};

use thiserror::Error;

/// So much is read at once.
const PIECE: usize = 256 << 10;
/// A name of a version is no longer than this, with its end.
const LONGEST: usize = 16;

/// What a program needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Like `x86_64`, as `uname -m` says it.
    pub machine: &'static str,
    /// The newest version of glibc that it asks for; none when it asks for none.
    pub glibc: Option<(u32, u32)>,
}

/// Why a file is no program for nodes.
#[derive(Debug, Error)]
pub enum NoProgram {
    /// The file.
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    /// Something else.
    #[error("it is no Linux program (ELF, 64 bits)")]
    NotElf,
    /// For a kind of machine that is not supported.
    #[error("it is for machines of ELF's kind {0}; x86_64 and aarch64 are supported")]
    Machine(u16),
}

/// Reads it, in pieces. ELF: the class is at 4, the byte order at 5, the machine at 18.
///
/// # Errors
/// When it cannot be read, or is no program for Linux on a known kind of machine.
pub fn needs(mut file: impl Read) -> Result<Needs, NoProgram> {
    let mut head = [0; 20];
    if file.read_exact(&mut head).is_err() || head.get(..6) != Some(b"\x7fELF\x02\x01") {
        return Err(NoProgram::NotElf);
    }
    let machine = match u16::from_le_bytes([head[18], head[19]]) {
        62 => "x86_64",
        183 => "aarch64",
        other => return Err(NoProgram::Machine(other)),
    };
    Ok(Needs { machine, glibc: glibc(file)? })
}

/// The names of symbol versions stand in the file as text that a zero byte ends.
fn glibc(mut file: impl Read) -> Result<Option<(u32, u32)>, NoProgram> {
    const NAME: &[u8] = b"GLIBC_2.";
    let mut newest = None;
    let mut window = Vec::with_capacity(PIECE + LONGEST);
    loop {
        let kept = window.len();
        file.by_ref().take(PIECE as u64).read_to_end(&mut window).map_err(NoProgram::Read)?;
        let ended = window.len() == kept;
        let mut rest = window.as_slice();
        while let Some(at) = memchr::memmem::find(rest, NAME) {
            rest = rest.get(at + NAME.len()..).unwrap_or_default();
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let version =
                rest.get(..digits).filter(|_| digits <= 3).and_then(|d| std::str::from_utf8(d).ok());
            // A patch level, such as 2.2.5's, is older than anything that is still in use.
            if let Some(minor) = version.and_then(|d| d.parse().ok())
                && matches!(rest.get(digits), Some(0))
            {
                newest = newest.max(Some((2, minor)));
            }
        }
        if ended {
            return Ok(newest);
        }
        // A name may begin in one piece and end in the next; one that is seen twice counts once.
        let cut = window.len().saturating_sub(LONGEST);
        window.drain(..cut);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_program_is_understood() {
        let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let needs = needs(file.as_slice()).unwrap();
        assert_eq!(needs.machine, std::env::consts::ARCH);
        assert!(needs.glibc.is_none_or(|glibc| glibc >= (2, 2)));
    }

    #[test]
    fn the_newest_version_counts() {
        let mut file = b"\x7fELF\x02\x01".to_vec();
        file.resize(18, 0);
        file.extend([183, 0]);
        file.extend(b"\0GLIBC_2.17\0GLIBC_2.28\0GLIBC_2.2.5\0GLIBC_2.99x\0GLIBC_2.3\0");
        let expected = Needs { machine: "aarch64", glibc: Some((2, 28)) };
        assert_eq!(needs(file.as_slice()).unwrap(), expected);
        // Wherever a piece ends.
        for before in PIECE - 24..PIECE + 4 {
            let mut file = b"\x7fELF\x02\x01".to_vec();
            file.resize(18, 0);
            file.extend([183, 0]);
            file.resize(20 + before, b'x');
            file.extend(b"\0GLIBC_2.28\0");
            assert_eq!(needs(file.as_slice()).unwrap(), expected, "{before}");
        }
    }

    #[test]
    fn other_files_are_refused() {
        assert!(matches!(needs(&b"#!/bin/sh\n"[..]), Err(NoProgram::NotElf)));
        let mut file = b"\x7fELF\x02\x01".to_vec();
        file.resize(18, 0);
        file.extend([8, 0]);
        assert!(matches!(needs(file.as_slice()), Err(NoProgram::Machine(8))));
    }
}
