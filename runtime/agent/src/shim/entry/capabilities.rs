//! Root in a task is not the machine's root.

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities,
};

/// What root in a task, or a set-user-id program of it, may be allowed: what ordinary containers have, without
/// devices and raw packets.
const ALLOWED: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::AUDIT_WRITE);

/// Gives up all others for good: no program that is run from here on can have them again. What is left is enough
/// to become the task's user.
///
/// # Errors
/// When the kernel refuses. One that has no capability has none to give up.
pub(crate) fn bound() -> Result<(), Errno> {
    let own = capabilities(None)?;
    if own.permitted.is_empty() {
        return Ok(());
    }
    for number in 0..u64::BITS {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if ALLOWED.contains(one) {
            continue;
        }
        match capability_is_in_bounding_set(one) {
            Ok(true) => remove_capability_from_bounding_set(one)?,
            Ok(false) => {}
            // Beyond the last that this kernel has.
            Err(Errno::INVAL) => break,
            Err(e) => return Err(e),
        }
    }
    match clear_ambient_capability_set() {
        // Before Linux 4.3 there was no such set.
        Ok(()) | Err(Errno::INVAL) => {}
        Err(e) => return Err(e),
    }
    set_capabilities(
        None,
        CapabilitySets {
            effective: own.effective & ALLOWED,
            permitted: own.permitted & ALLOWED,
            inheritable: CapabilitySet::empty(),
        },
    )
}
