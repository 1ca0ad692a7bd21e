//! Holding a delegated unit's group for tasks: on v2 a group that hands controllers on may hold no process itself, so the
//! unit's only process goes into a group below.

use std::path::PathBuf;

use super::CgroupError;
use super::kernel::{Kernel, Linux};
use super::layout::{Hierarchy, Layout, Mode};

/// Where the holder is, below its unit's group.
const HOLDER: &str = "holder";

/// Moves this process out of its unit's group where tasks' groups could not be made beside it. On v1 and hybrid machines
/// there is nothing to do: their controllers take processes in inner groups. It must have one thread only.
///
/// # Errors
/// When the kernel refuses.
pub fn make_room() -> Result<(), CgroupError> {
    make_room_in(&Layout::detect()?, &Linux)
}

fn make_room_in(layout: &Layout, kernel: &impl Kernel) -> Result<(), CgroupError> {
    if layout.mode() != Mode::V2 {
        return Ok(());
    }
    for hierarchy in layout.hierarchies.iter().filter(|hierarchy| needs_room(hierarchy)) {
        let group = hierarchy.mount.join(&hierarchy.own).join(HOLDER);
        match kernel.make(&group) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            made => made.map_err(CgroupError::io("create", &group))?,
        }
        let file: PathBuf = group.join("cgroup.procs");
        // Zero is the writer.
        kernel.write(&file, "0").map_err(CgroupError::io("enter", file))?;
    }
    Ok(())
}

/// The root takes processes beside groups; and one that was started anew may be in its place already.
fn needs_room(hierarchy: &Hierarchy) -> bool {
    !hierarchy.own.is_empty() && !hierarchy.own.ends_with(&format!("/{HOLDER}"))
}

#[cfg(test)]
mod tests {
    use super::super::kernel::double::Recorder;
    use super::super::layout::examples;
    use super::*;

    fn done(layout: &Layout) -> String {
        let kernel = Recorder::default();
        make_room_in(layout, &kernel).unwrap();
        kernel.log()
    }

    #[test]
    fn on_v2_the_holder_goes_below_its_unit() {
        insta::assert_snapshot!(done(&examples::v2()), @"
        mkdir /sys/fs/cgroup/system.slice/agent.service/holder
        /sys/fs/cgroup/system.slice/agent.service/holder/cgroup.procs = 0
        ");
        let mut there = examples::v2();
        there.hierarchies[0].own.push_str("/holder");
        assert_eq!(done(&there), "");
        there.hierarchies[0].own.clear();
        assert_eq!(done(&there), "");
    }

    #[test]
    fn elsewhere_it_stays_where_it_is() {
        assert_eq!(done(&examples::v1()), "");
        assert_eq!(done(&examples::hybrid()), "");
    }
}
