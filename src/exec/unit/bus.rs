//! The only door to D-Bus: what is asked of systemd about a unit (`org.freedesktop.systemd1(5)`).

use std::time::Duration;

use zbus::proxy::CacheProperties;
use zbus::wire::OwnedObjectPath;
use zbus::{Connection, Proxy, fdo};

use super::UnitName;

/// systemd's name on the bus.
pub(super) const SYSTEMD: &str = "org.freedesktop.systemd1";
/// Its own object.
pub(super) const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
pub(super) const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const SERVICE: &str = "org.freedesktop.systemd1.Service";

/// Longest answer to a question: systemd answers in milliseconds, and in seconds on a machine that is overloaded.
const ANSWER_TIME: Duration = Duration::from_secs(20);

/// Pause between two looks at a unit that is about to start or to end.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Why systemd did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum BusError {
    /// There is no bus, or nobody who answers.
    #[error("systemd can't be asked: {0}")]
    Unreachable(String),
    /// polkit has no rule that allows it.
    #[error(
        "systemd may not be asked for it (is polkitd installed, and the rule 50-hookd.rules below /usr/share/polkit-1 or /etc/polkit-1?): {0}"
    )]
    Denied(String),
    /// systemd would, but something is wrong with the unit.
    #[error("{0}")]
    Refused(String),
}

impl From<zbus::Error> for BusError {
    fn from(error: zbus::Error) -> Self {
        match &error {
            zbus::Error::FDO(inner) => match &**inner {
                fdo::Error::AccessDenied(why) | fdo::Error::InteractiveAuthorizationRequired(why) => {
                    Self::Denied(why.clone())
                }
                fdo::Error::ServiceUnknown(why) | fdo::Error::NoReply(why) => Self::Unreachable(why.clone()),
                other => Self::Refused(other.to_string()),
            },
            zbus::Error::MethodError(_, Some(why), _) => Self::Refused(why.clone()),
            zbus::Error::MethodError(name, None, _) => Self::Refused(name.to_string()),
            other => Self::Unreachable(other.to_string()),
        }
    }
}

/// One unit, loaded, through a connection of its own.
pub(super) struct Bus {
    connection: Connection,
    name: String,
    path: OwnedObjectPath,
}

/// What root has settled for a unit, in its template and drop-ins. `u64::MAX` is: not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) user: String,
    pub(super) group: String,
    pub(super) network: bool,
    pub(super) memory_max: u64,
    pub(super) tasks_max: u64,
    pub(super) cpu_weight: u64,
    pub(super) io_weight: u64,
}

/// How systemd says that a unit ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Result {
    /// `Result=`: `success`, `oom-kill`, `signal`, …
    pub(super) word: String,
    /// `ExecMainStatus=`: an exit code or the number of a signal.
    pub(super) status: i32,
}

impl Bus {
    /// Connects, and has systemd read the unit.
    pub(super) async fn load(name: &UnitName) -> std::result::Result<Self, BusError> {
        let connecting = tokio::time::timeout(ANSWER_TIME, Connection::system()).await;
        let connection = connecting
            .map_err(|_| BusError::Unreachable("the system bus does not answer".to_owned()))?
            .map_err(|error| BusError::Unreachable(error.to_string()))?;
        let name = name.to_string();
        let mut bus = Self {
            connection,
            name,
            path: OwnedObjectPath::default(),
        };
        bus.path = bus.ask("LoadUnit", &(bus.name.as_str(),)).await?;
        match bus.get::<String>(UNIT, "LoadState").await?.as_str() {
            "loaded" => Ok(bus),
            "not-found" => Err(BusError::Refused(format!(
                "there is no unit {}: it comes with hookd's package",
                bus.name
            ))),
            state => Err(BusError::Refused(format!(
                "the unit {} is {state}, see `systemctl status '{0}'`",
                bus.name
            ))),
        }
    }

    async fn proxy(&self, path: &str, interface: &'static str) -> zbus::Result<Proxy<'static>> {
        zbus::proxy::Builder::new(&self.connection)
            .destination(SYSTEMD)
            .path(path.to_owned())
            .interface(interface)
            .cache_properties(CacheProperties::No)
            .build()
            .await
    }

    /// Calls a method of systemd itself.
    async fn ask<B, R>(&self, method: &'static str, body: &B) -> std::result::Result<R, BusError>
    where
        B: serde::Serialize + zbus::DynamicType,
        R: for<'d> zbus::wire::DynamicDeserialize<'d>,
    {
        let call = async { self.proxy(MANAGER_PATH, MANAGER).await?.call(method, body).await };
        in_time(call).await
    }

    async fn get<T>(&self, interface: &'static str, property: &str) -> std::result::Result<T, BusError>
    where
        T: serde::de::DeserializeOwned + zbus::Type,
    {
        let get = async { self.proxy(&self.path, interface).await?.get_property(property).await };
        in_time(get).await
    }

    /// What holds in the unit.
    pub(super) async fn settled(&self) -> std::result::Result<Settled, BusError> {
        Ok(Settled {
            user: self.get(SERVICE, "User").await?,
            group: self.get(SERVICE, "Group").await?,
            network: !self.get::<bool>(SERVICE, "PrivateNetwork").await?,
            memory_max: self.get(SERVICE, "MemoryMax").await?,
            tasks_max: self.get(SERVICE, "TasksMax").await?,
            cpu_weight: self.get(SERVICE, "CPUWeight").await?,
            io_weight: self.get(SERVICE, "IOWeight").await?,
        })
    }

    /// Asks for the unit to be started; whether it did is another question.
    pub(super) async fn start(&self) -> std::result::Result<(), BusError> {
        self.ask::<_, OwnedObjectPath>("StartUnit", &(self.name.as_str(), "fail"))
            .await
            .map(drop)
    }

    /// KILL to everything in the unit.
    pub(super) async fn kill(&self) -> std::result::Result<(), BusError> {
        let body = (self.name.as_str(), "all", nix::libc::SIGKILL);
        match self.ask::<_, ()>("KillUnit", &body).await {
            // There is nothing left in it.
            Err(BusError::Refused(_)) => Ok(()),
            other => other,
        }
    }

    /// Whether the unit runs, or is about to, or about to end.
    pub(super) async fn is_active(&self) -> std::result::Result<bool, BusError> {
        let state: String = self.get(UNIT, "ActiveState").await?;
        if !matches!(state.as_str(), "inactive" | "failed") {
            return Ok(true);
        }
        let (job, _): (u32, OwnedObjectPath) = self.get(UNIT, "Job").await?;
        Ok(job != 0)
    }

    /// Waits until the unit has ended.
    pub(super) async fn ended(&self) -> std::result::Result<(), BusError> {
        while self.is_active().await? {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// The process that the unit is about.
    pub(super) async fn main_pid(&self) -> std::result::Result<u32, BusError> {
        self.get(SERVICE, "MainPID").await
    }

    /// How the unit ended. Forgets that it failed, if it did: so nothing of it stays loaded.
    pub(super) async fn result(&self) -> std::result::Result<Result, BusError> {
        let result = Result {
            word: self.get(SERVICE, "Result").await?,
            status: self.get(SERVICE, "ExecMainStatus").await?,
        };
        if result.word != "success" {
            self.ask::<_, ()>("ResetFailedUnit", &(self.name.as_str(),)).await?;
        }
        Ok(result)
    }
}

async fn in_time<T>(answer: impl Future<Output = zbus::Result<T>>) -> std::result::Result<T, BusError> {
    match tokio::time::timeout(ANSWER_TIME, answer).await {
        Ok(answer) => answer.map_err(BusError::from),
        Err(_) => Err(BusError::Unreachable(format!(
            "no answer within {} s",
            ANSWER_TIME.as_secs()
        ))),
    }
}
