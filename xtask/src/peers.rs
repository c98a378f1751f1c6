//! Other people's clients and brokers, for the interop suites.
//!
//! What comes from PyPI, npm and crates.io goes to target/peers and needs no rights. System packages are installed with apt when asked for,
//! and never start a service. What is absent is named with the reason, in lines `skipped: NAME: REASON` and in
//! target/peers/missing.txt; the suites read that file to say why they skip.

mod services;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::{Verdict, workspace};

use self::services::ServicesOff;

/// Where peers are: `venv` is a Python environment with Proton, aioquic and websockets, `rhea` a folder with rhea for Node.js,
/// `fe2o3` the build of a program on fe2o3-amqp, `proton-cpp` what the suites compile of Proton C++, `missing.txt` has a line `NAME: REASON` for each absentee.
pub(crate) fn folder(root: &Path) -> PathBuf {
    root.join("target/peers")
}

/// Whether this is a machine of CI, where system packages may be installed.
pub(crate) fn on_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}

const PROTON_PYTHON: &str = "python-qpid-proton==0.40.*";
/// Peers of the transport services: QUIC, and WebSocket.
const AIOQUIC: &str = "aioquic==1.*";
const WEBSOCKETS: &str = "websockets>=15";
const RHEA: &str = "rhea@3.0.5";
/// The WebSockets that rhea is given.
const WS: &str = "ws@8";

/// A Debian package and a file that shows it is there.
struct Package {
    name: &'static str,
    shows: &'static [&'static str],
}

/// Where a module of Kamailio is; the folder is named by the machine.
macro_rules! kamailio_module {
    ($name:literal) => {
        &[
            concat!("/usr/lib/x86_64-linux-gnu/kamailio/modules/", $name, ".so"),
            concat!("/usr/lib/aarch64-linux-gnu/kamailio/modules/", $name, ".so"),
            concat!("/usr/lib/kamailio/modules/", $name, ".so"),
        ]
    };
}

const PACKAGES: &[Package] = &[
    Package { name: "rabbitmq-server", shows: &["/usr/lib/rabbitmq/bin/rabbitmq-server", "/usr/sbin/rabbitmq-server"] },
    Package { name: "nodejs", shows: &["/usr/bin/node", "/usr/local/bin/node"] },
    Package { name: "npm", shows: &["/usr/bin/npm", "/usr/local/bin/npm"] },
    Package { name: "libqpid-proton11-dev", shows: &["/usr/include/proton/proactor.h"] },
    Package { name: "libqpid-proton-cpp12-dev", shows: &["/usr/include/proton/container.hpp"] },
    Package { name: "g++", shows: &["/usr/bin/g++", "/usr/local/bin/g++"] },
    // What Proton's Cyrus SASL says PLAIN with; the folder is named by the machine.
    Package {
        name: "libsasl2-modules",
        shows: &[
            "/usr/lib/x86_64-linux-gnu/sasl2/libplain.so",
            "/usr/lib/aarch64-linux-gnu/sasl2/libplain.so",
            "/usr/lib/sasl2/libplain.so",
        ],
    },
    // A relay of MSRP.
    Package { name: "kamailio", shows: &["/usr/sbin/kamailio"] },
    Package { name: "kamailio-extra-modules", shows: kamailio_module!("uuid") },
    Package { name: "kamailio-tls-modules", shows: kamailio_module!("tls") },
    Package { name: "kamailio-websocket-modules", shows: kamailio_module!("websocket") },
    // s_client and s_server.
    Package { name: "openssl", shows: &["/usr/bin/openssl", "/usr/local/bin/openssl"] },
    // Reads what the suites have recorded.
    Package { name: "tshark", shows: &["/usr/bin/tshark", "/usr/local/bin/tshark"] },
    Package {
        name: "libqpid-proton11-dev-examples",
        shows: &["/usr/share/proton/examples", "/usr/share/proton-0.37.0/examples"],
    },
];

impl Package {
    fn is_present(&self) -> bool {
        self.shows.iter().any(|path| Path::new(path).exists())
    }
}

/// Makes target/peers; `install` allows system packages.
///
/// # Errors
///
/// When target/peers cannot be written. An absent peer is no error.
pub(crate) fn prepare(root: &Path, install: bool) -> Verdict {
    let folder = folder(root);
    let mut missing = Vec::new();
    fs::create_dir_all(&folder).map_err(|error| vec![format!("{}: {error}", folder.display())])?;
    let refused = if install { packages() } else { Err("not installed; --install-peers does it (apt, root)".into()) };
    for package in PACKAGES.iter().filter(|package| !package.is_present()) {
        let why = refused
            .as_ref()
            .err()
            .map_or("apt installed it but its files are not where they should be", String::as_str);
        missing.push(format!("{}: {why}", package.name));
    }
    let fetched = [
        (
            "python-qpid-proton",
            python(
                &folder.join("venv"),
                PROTON_PYTHON,
                "import proton; assert proton.VERSION[:2] == (0, 40), proton.VERSION",
            ),
        ),
        ("aioquic", python(&folder.join("venv"), AIOQUIC, "import aioquic.asyncio")),
        ("websockets", python(&folder.join("venv"), WEBSOCKETS, "import websockets.asyncio.server")),
        ("rhea", rhea(&folder.join("rhea"))),
        ("fe2o3-amqp", fe2o3(root, &folder.join("fe2o3"))),
    ];
    for (name, fetched) in &fetched {
        if let Err(why) = fetched {
            missing.push(format!("{name}: {why}"));
        }
    }
    let list = folder.join("missing.txt");
    let text: String = missing.iter().map(|line| format!("{line}\n")).collect();
    fs::write(&list, text).map_err(|error| vec![format!("{}: {error}", list.display())])?;
    for line in &missing {
        println!("skipped: {line}");
    }
    Ok(format!(
        "peers: {} present, {} missing, in {}",
        PACKAGES.len() + fetched.len() - missing.len(),
        missing.len(),
        folder.display()
    ))
}

/// A package in the Python environment, left as it is when `check` finds it there already.
fn python(venv: &Path, package: &str, check: &str) -> Result<(), String> {
    let python = venv.join("bin/python").display().to_string();
    let works = || run(&python, &["-c", check]);
    if works().is_ok() {
        return Ok(());
    }
    if run(&python, &["-m", "pip", "--version"]).is_err() {
        let folder = venv.display().to_string();
        // Clear: an environment that does not work may be half made.
        run("python3", &["-m", "venv", "--clear", &folder])
            .map_err(|why| format!("python3 makes no environment (Debian: apt install python3-venv): {why}"))?;
    }
    run(&python, &["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", package])?;
    works()
}

/// A folder with rhea and `ws`, left as it is when it works already. Their dependencies are those that the packages name.
fn rhea(folder: &Path) -> Result<(), String> {
    let modules = folder.join("node_modules");
    let version = RHEA.rsplit('@').next().unwrap_or_default();
    let script = format!(
        "require('{0}/ws'); require('assert').equal(require('{0}/rhea/package.json').version, '{version}')",
        modules.display()
    );
    let works = || run("node", &["-e", &script]);
    if modules.exists() && works().is_ok() {
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let prefix = folder.display().to_string();
    let options = ["--no-save", "--no-audit", "--no-fund", "--ignore-scripts"];
    run("npm", &[&["install", "--prefix", &prefix], &options[..], &[RHEA, WS]].concat())?;
    works()
}

/// Builds the program of tests/peers/fe2o3, which is no member of the workspace; cargo does nothing where it is built already.
fn fe2o3(root: &Path, target: &Path) -> Result<(), String> {
    let manifest = root.join("tests/peers/fe2o3/Cargo.toml").display().to_string();
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let target = target.display().to_string();
    run(&cargo, &["build", "--quiet", "--locked", "--manifest-path", &manifest, "--target-dir", &target])
}

/// Installs what is absent of [`PACKAGES`], with services held off.
fn packages() -> Result<(), String> {
    let absent: Vec<&str> =
        PACKAGES.iter().filter(|package| !package.is_present()).map(|package| package.name).collect();
    if absent.is_empty() {
        return Ok(());
    }
    run("apt-get", &["--version"]).map_err(|_| "not installed, and there is no apt here to install it".to_owned())?;
    let user = workspace::command("id").arg("-u").output().map_err(|error| format!("id: {error}"))?;
    if user.stdout.trim_ascii() != b"0" {
        return Err("not installed, and apt needs root".into());
    }
    let _off = ServicesOff::hold(Path::new("/usr/sbin/policy-rc.d"))?;
    run("apt-get", &["-q", "update"])?;
    let install = ["-q", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120", "install"];
    run("apt-get", &[&install[..], &absent].concat())
}

/// Runs a command to its end. When it fails, all it said is shown and the last line of it is the reason.
fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    println!("$ {program} {}", arguments.join(" "));
    let output = workspace::command(program)
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    eprint!("{said}");
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(format!("{program}: {}: {}", output.status, last.trim()))
}
