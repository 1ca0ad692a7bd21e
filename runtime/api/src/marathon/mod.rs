//! Marathon v2 REST. Section numbers (§) in this module are those of `interfaces/marathon-v2.md`.
//!
//! A request goes through [`read_json`] and then through [`App::create`], [`App::replace`], [`AppUpdate`], [`AppEdit`],
//! [`GroupUpdate`] or [`GroupChange`], which say everything that is wrong at once. What is right but not done yet is what [`check_supported`] refuses. Answers are
//! the types of [`view`](AppInfo), written with serde; every refusal is an [`ApiError`], which knows its status and body.

mod app;
mod environment;
mod error;
mod event;
mod group;
mod info;
mod json;
mod path_id;
mod query;
mod route;
mod selector;
mod service_port;
mod task_id;
mod timestamp;
mod uuid;
mod view;

pub use app::{
    App, AppEdit, AppUpdate, Change, Check, CheckCommand, CheckKind, CheckPort, Constraint, Container,
    ContainerKind, Docker, EditKind, EnvValue, ExecutorResources, Fetch, HealthCheck, HealthProtocol,
    HttpScheme, IpProtocol, KillSelection, Limit, Network, NetworkMode, Operator, Parameter, Persistent,
    PersistentKind, PortDefinition, PortMapping, PullConfig, ReadinessCheck, Residency, ResourceLimits,
    SecretSource, TransportProtocol, UnreachableStrategy, UpgradeStrategy, VersionInfo, Volume, VolumeMode,
    check_supported, diff,
};
pub use environment::{TaskFacts, task_environment};
pub use error::{ApiError, Detail};
pub use event::{Condition, DeploymentPlan, Event, GroupSummary, Subscription, TimedEvent};
pub use group::{GroupChange, GroupInfo, GroupRoute, GroupUpdate, parse_group_path};
pub use info::{HttpConfig, Info, MarathonConfig, ZookeeperConfig};
pub use json::read_json;
pub use path_id::{AppId, GroupId, IdError, MAX_ID_LENGTH, PathId};
pub use query::{Embed, GroupEmbed, parse_boolean};
pub use route::{AppRoute, parse_app_path};
pub use selector::{LabelSelector, SelectorError};
pub use service_port::{NoFreePort, assign_service_ports};
pub use task_id::{InstanceId, TaskId, TaskIdError};
pub use timestamp::{Timestamp, TimestampError};
pub use uuid::{Uuid, UuidError};
pub use view::{
    ActionKind, AppInfo, AppList, AppWrapper, CheckResult, CurrentAction, Deployment, DeploymentAction,
    DeploymentId, DeploymentResult, DeploymentStep, GroupApps, HealthCheckResult, HttpResponse, IpAddress,
    LifeTime, LocalVolume, OffersSummary, Queue, QueueDelay, QueueItem, ReadinessCheckResult, RejectCount,
    Stats, StatsCounts, Task, TaskCounts, TaskFailure, TaskList, TaskStats, TaskStatsEntry, UnusedOffer,
    VersionList,
};
