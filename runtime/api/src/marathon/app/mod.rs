//! The app definition (§4 to §7): read (`raw`), made whole (`normalise`), checked (`validate`), written
//! (`model`), changed (`update`), and refused for what is to come (`supported`).

mod container;
mod health;
mod model;
mod normalise;
mod raw;
mod several;
mod supported;
mod update;
mod validate;
mod words;

#[cfg(test)]
mod tests;

pub use container::{
    Container, ContainerKind, Docker, Network, NetworkMode, Parameter, Persistent, PersistentKind,
    PortDefinition, PortMapping, PullConfig, TransportProtocol, Volume, VolumeMode,
};
pub use health::{
    Check, CheckCommand, CheckKind, CheckPort, HealthCheck, HealthProtocol, HttpScheme, IpProtocol,
    ReadinessCheck,
};
pub use model::{
    App, Constraint, EnvValue, ExecutorResources, Fetch, KillSelection, Limit, Operator, Residency,
    ResourceLimits, SecretSource, UnreachableStrategy, UpgradeStrategy, VersionInfo,
};
pub use several::{AppEdit, EditKind};
pub use supported::check_supported;
pub use update::{AppUpdate, Change, diff};
