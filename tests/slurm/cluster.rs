//! A Slurm cluster of one node on loopback: Debian's munged, slurmctld and slurmd, and slurmdbd with MariaDB when asked for.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Runs until it is dropped.
pub struct Cluster {
    folder: tempfile::TempDir,
    munge: Option<Child>,
    controller: Option<Child>,
    database: Option<Child>,
    others: Vec<Child>,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn output_of(program: &str, words: &[&str]) -> String {
    let ran = Command::new(program).args(words).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    String::from_utf8_lossy(&ran.stdout).trim().to_owned()
}

fn wait(what: &str, mut is: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(180);
    while !is() {
        assert!(Instant::now() < until, "{what}: still not after three minutes");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn end(child: &mut Option<Child>) {
    if let Some(mut child) = child.take() {
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Cluster {
    pub fn start(with_accounting: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut cluster = Self { folder, munge: None, controller: None, database: None, others: Vec::new() };
        for name in ["state", "spool"] {
            fs::create_dir(cluster.path(name)).unwrap();
        }
        fs::write(cluster.path("munge.key"), [7; 1024]).unwrap();
        fs::set_permissions(cluster.path("munge.key"), fs::Permissions::from_mode(0o400)).unwrap();
        let database = with_accounting.then(|| (free_port(), free_port()));
        cluster.write_settings(database.map(|(slurmdbd, _)| slurmdbd));
        cluster.start_munge();
        if let Some((slurmdbd, mariadb)) = database {
            cluster.start_mariadb(slurmdbd, mariadb);
            cluster.start_accounting();
            wait("slurmdbd answers", || cluster.run("sacctmgr", &["-n", "list", "cluster"]).0);
            assert!(cluster.run("sacctmgr", &["-i", "add", "cluster", "test"]).0);
        }
        cluster.start_controller();
        let slurmd = cluster.daemon("slurmd", &["-D", "-f", &cluster.settings()]);
        cluster.others.push(slurmd);
        wait("the node is idle", || cluster.run("sinfo", &["-h", "-o", "%T"]).1 == "idle");
        cluster
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The value of `SLURM_CONF`.
    pub fn settings(&self) -> String {
        self.path("slurm.conf").display().to_string()
    }

    fn write_settings(&self, slurmdbd: Option<u16>) {
        let (here, host, user) =
            (self.folder.path().display(), output_of("hostname", &["-s"]), output_of("id", &["-un"]));
        let accounting = slurmdbd.map_or_else(String::new, |port| {
            format!("AccountingStorageType=accounting_storage/slurmdbd\nAccountingStorageHost=127.0.0.1\nAccountingStoragePort={port}\nAccountingStoragePass={here}/munge.socket\n")
        });
        let (controller, node) = (free_port(), free_port());
        let text = format!(
            "ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nSlurmctldPort={controller}\nSlurmdPort={node}\n\
             SlurmUser={user}\nSlurmdUser={user}\nAuthType=auth/munge\nAuthInfo=socket={here}/munge.socket\n\
             StateSaveLocation={here}/state\nSlurmdSpoolDir={here}/spool\nSlurmctldPidFile={here}/slurmctld.pid\n\
             SlurmdPidFile={here}/slurmd.pid\nSlurmctldLogFile={here}/slurmctld.log\nSlurmdLogFile={here}/slurmd.log\n\
             ProctrackType=proctrack/pgid\nTaskPlugin=task/none\nSwitchType=switch/none\nMpiDefault=none\n\
             SelectType=select/linear\nSchedulerType=sched/builtin\nReturnToService=2\nMessageTimeout=5\nKillWait=2\n\
             JobAcctGatherType=jobacct_gather/none\nMinJobAge=4\n{accounting}\
             NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN\n\
             PartitionName=main Nodes={host} Default=YES State=UP OverSubscribe=FORCE:16\n"
        );
        fs::write(self.path("slurm.conf"), text).unwrap();
    }

    fn start_mariadb(&mut self, slurmdbd: u16, mariadb: u16) {
        let (here, user) = (self.folder.path().display().to_string(), output_of("id", &["-un"]));
        let (data, as_user) = (format!("--datadir={here}/data"), format!("--user={user}"));
        output_of(
            "mariadb-install-db",
            &["--no-defaults", &data, &as_user, "--auth-root-authentication-method=normal"],
        );
        let (socket, port) = (format!("--socket={here}/mariadb.socket"), format!("--port={mariadb}"));
        let words =
            ["--no-defaults", "--bind-address=127.0.0.1", "--skip-grant-tables", &data, &as_user, &socket, &port];
        let server = self.daemon("mariadbd", &words);
        self.others.push(server);
        let text = format!(
            "AuthType=auth/munge\nAuthInfo=socket={here}/munge.socket\nDbdHost=localhost\nDbdAddr=127.0.0.1\nDbdPort={slurmdbd}\n\
             SlurmUser={user}\nStorageType=accounting_storage/mysql\nStorageHost=127.0.0.1\nStoragePort={mariadb}\n\
             StorageUser=root\nStorageLoc=slurm\nLogFile={here}/slurmdbd.log\nPidFile={here}/slurmdbd.pid\n"
        );
        let path = self.path("slurmdbd.conf");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        wait("MariaDB listens", || std::net::TcpStream::connect(("127.0.0.1", mariadb)).is_ok());
    }

    fn daemon(&self, program: &str, words: &[&str]) -> Child {
        let log = fs::File::options().append(true).create(true).open(self.path(&format!("{program}.out"))).unwrap();
        let mut command = Command::new(program);
        command.args(words).env("SLURM_CONF", self.settings()).current_dir(self.folder.path()).stdin(Stdio::null());
        let started = command.stdout(log.try_clone().unwrap()).stderr(log).spawn();
        started.unwrap_or_else(|error| panic!("{program}: {error}"))
    }

    pub fn start_munge(&mut self) {
        let file = |option: &str, name: &str| format!("--{option}={}", self.path(name).display());
        let words = [
            file("key-file", "munge.key"),
            file("socket", "munge.socket"),
            file("pid-file", "munge.pid"),
            file("log-file", "munge.log"),
            file("seed-file", "munge.seed"),
        ];
        let words: Vec<&str> =
            ["--foreground", "--force"].into_iter().chain(words.iter().map(String::as_str)).collect();
        self.munge = Some(self.daemon("munged", &words));
        wait("munged listens", || self.path("munge.socket").exists());
    }

    pub fn stop_munge(&mut self) {
        end(&mut self.munge);
        let _ = fs::remove_file(self.path("munge.socket"));
    }

    pub fn start_controller(&mut self) {
        self.controller = Some(self.daemon("slurmctld", &["-D", "-f", &self.settings()]));
        wait("slurmctld answers", || self.run("squeue", &[]).0);
    }

    pub fn stop_controller(&mut self) {
        end(&mut self.controller);
    }

    pub fn start_accounting(&mut self) {
        self.database = Some(self.daemon("slurmdbd", &["-D"]));
    }

    pub fn stop_accounting(&mut self) {
        end(&mut self.database);
    }

    /// Whether it succeeded, and its stdout.
    pub fn run(&self, program: &str, words: &[&str]) -> (bool, String) {
        let ran = Command::new(program).args(words).env("SLURM_CONF", self.settings()).output().unwrap();
        (ran.status.success(), String::from_utf8_lossy(&ran.stdout).trim().to_owned())
    }

    /// How many jobs this cluster ever accepted. Its log counts them: a controller that was killed reuses ids.
    pub fn jobs(&self) -> usize {
        self.log("slurmctld.log").matches("_slurm_rpc_submit_batch_job: JobId=").count()
    }

    /// Waits until every job has ended, and the controller lists none.
    pub fn forget(&self) {
        wait("the controller forgets", || self.run("squeue", &["--states=all", "--noheader"]) == (true, String::new()));
    }

    pub fn wait_for(&self, state: &str) {
        wait(state, || self.run("squeue", &["--states=all", "--noheader", "--format", "%T"]).1.contains(state));
    }

    pub fn log(&self, name: &str) -> String {
        fs::read_to_string(Path::new(&self.path(name))).unwrap_or_default()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.run("scancel", &["--state=RUNNING"]);
        end(&mut self.controller);
        end(&mut self.database);
        for child in self.others.drain(..).rev() {
            end(&mut Some(child));
        }
        end(&mut self.munge);
    }
}
