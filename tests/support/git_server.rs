//! Real git servers on loopback, each on a port of its own that it holds from the start: nginx with git-http-backend,
//! sshd with git-upload-pack. And [`Origin`], the repository that they serve.

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// Finds a program, or fails the test with the name of the Debian package that has it.
pub fn program(name: &str, package: &str) -> PathBuf {
    let path = std::env::var("PATH").unwrap_or_default();
    let directories = path.split(':').chain(["/usr/sbin", "/usr/bin", "/sbin", "/bin"]);
    let found = directories.map(|d| Path::new(d).join(name)).find(|p| p.is_file());
    found.unwrap_or_else(|| panic!("this test needs `{name}`: install it with `apt-get install {package}`"))
}

/// `git` with nobody's configuration and a fixed author.
pub fn git_command() -> Command {
    let mut command = Command::new(program("git", "git"));
    command
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_AUTHOR_NAME", "Alice")
        .env("GIT_AUTHOR_EMAIL", "alice@example.org")
        .env("GIT_COMMITTER_NAME", "Alice")
        .env("GIT_COMMITTER_EMAIL", "alice@example.org")
        .env("LC_ALL", "C.UTF-8")
        .args(["-c", "safe.directory=*", "-c", "init.defaultBranch=main"]);
    command
}

/// Runs a command with an input; its output if it succeeds, else the test fails with what it said.
pub fn run(command: &mut Command, input: &[u8]) -> String {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let shown = format!("{command:?}");
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{shown}: {e}"));
    child.stdin.take().unwrap().write_all(input).unwrap_or_default();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{shown}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// One change of a commit.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// A file, 0644.
    File(&'a str, &'a [u8]),
    /// A file, 0755.
    Program(&'a str, &'a [u8]),
    /// A symbolic link and its target.
    Link(&'a str, &'a str),
    /// A submodule at a commit.
    Submodule(&'a str, &'a str),
    /// A path that goes away.
    Delete(&'a str),
}

/// A bare repository to be served. Made and pushed to without a working tree.
#[derive(Debug, Clone)]
pub struct Origin {
    pub path: PathBuf,
}

impl Origin {
    /// Makes an empty one; fetches of any reachable or unreachable commit are refused, as git's default is.
    pub fn new(path: &Path) -> Self {
        run(git_command().args(["init", "--quiet", "--bare"]).arg(path), b"");
        Self { path: path.to_owned() }
    }

    /// Runs git in it.
    pub fn git(&self, arguments: &[&str]) -> String {
        self.git_input(arguments, b"")
    }

    /// Runs git in it, with an input.
    pub fn git_input(&self, arguments: &[&str], input: &[u8]) -> String {
        run(git_command().arg("--git-dir").arg(&self.path).args(arguments), input)
    }

    /// Adds a commit to a branch, which it may begin. Returns the commit.
    pub fn commit(&self, branch: &str, message: &str, changes: &[Change<'_>]) -> String {
        let reference = format!("refs/heads/{branch}");
        let exists = self.resolve(&reference).is_some();
        self.import(&reference, message, exists, changes)
    }

    /// Puts a branch on a commit without parents: a force push.
    pub fn rewrite(&self, branch: &str, message: &str, changes: &[Change<'_>]) -> String {
        let reference = format!("refs/heads/{branch}");
        if self.resolve(&reference).is_some() {
            self.git(&["update-ref", "-d", &reference]);
        }
        self.import(&reference, message, false, changes)
    }

    fn import(&self, reference: &str, message: &str, from: bool, changes: &[Change<'_>]) -> String {
        let mut stream = Vec::new();
        let data = |stream: &mut Vec<u8>, bytes: &[u8]| {
            stream.extend(format!("data {}\n", bytes.len()).bytes());
            stream.extend_from_slice(bytes);
            stream.push(b'\n');
        };
        stream.extend(format!("commit {reference}\n").bytes());
        stream.extend(b"committer Alice <alice@example.org> 1795342500 +0000\n");
        data(&mut stream, message.as_bytes());
        if from {
            stream.extend(format!("from {reference}^0\n").bytes());
        }
        let quoted = |path: &str| {
            format!(
                "\"{}\"",
                path.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
            )
        };
        for change in changes {
            let (mode, path, content) = match *change {
                Change::File(path, content) => ("100644", path, content),
                Change::Program(path, content) => ("100755", path, content),
                Change::Link(path, target) => ("120000", path, target.as_bytes()),
                Change::Submodule(path, commit) => {
                    stream.extend(format!("M 160000 {commit} {}\n", quoted(path)).bytes());
                    continue;
                }
                Change::Delete(path) => {
                    stream.extend(format!("D {}\n", quoted(path)).bytes());
                    continue;
                }
            };
            stream.extend(format!("M {mode} inline {}\n", quoted(path)).bytes());
            data(&mut stream, content);
        }
        self.git_input(&["fast-import", "--quiet"], &stream);
        self.resolve(reference).unwrap()
    }

    /// Writes a tree object as it is, however malformed, and a commit of it to a branch.
    pub fn commit_raw_tree(&self, branch: &str, entries: &[(&str, &[u8], &str)]) -> String {
        let mut tree = Vec::new();
        for (mode, name, object) in entries {
            tree.extend(mode.bytes());
            tree.push(b' ');
            tree.extend_from_slice(name);
            tree.push(0);
            tree.extend(hex::decode(object).unwrap());
        }
        let tree = self.git_input(&["hash-object", "-w", "-t", "tree", "--literally", "--stdin"], &tree);
        self.commit_tree(branch, &tree)
    }

    /// Makes a commit of a tree, without parents, and puts a branch on it.
    pub fn commit_tree(&self, branch: &str, tree: &str) -> String {
        let commit = self.git(&["commit-tree", "-m", "raw", tree]);
        self.git(&["update-ref", &format!("refs/heads/{branch}"), &commit]);
        commit
    }

    /// Writes a blob.
    pub fn blob(&self, content: &[u8]) -> String {
        self.git_input(&["hash-object", "-w", "--stdin"], content)
    }

    /// What a ref names.
    pub fn resolve(&self, reference: &str) -> Option<String> {
        let output = git_command()
            .arg("--git-dir")
            .arg(&self.path)
            .args(["rev-parse", "-q", "--verify", reference])
            .output();
        let output = output.unwrap();
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Its `file://` URL.
    pub fn file_url(&self) -> String {
        format!("file://{}", self.path.display())
    }
}

/// A child that leads a process group; all of it is killed at the end.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let group = Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

/// How a [`GitServer`] is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Http,
    Https,
    SelfSigned,
    Ssh,
}

/// A running git server for all repositories below one directory.
pub struct GitServer {
    kind: Kind,
    port: u16,
    root: PathBuf,
    /// Configuration, keys and logs.
    private: tempfile::TempDir,
    _processes: Vec<Server>,
    ssh: Option<SshLoop>,
}

impl GitServer {
    /// Serves the repositories below `root` over http, to everybody.
    pub fn http(root: &Path) -> Self {
        Self::nginx(root, Kind::Http, None)
    }

    /// Serves over http to one user only.
    pub fn http_with_password(root: &Path, user: &str, password: &str) -> Self {
        Self::nginx(root, Kind::Http, Some((user, password)))
    }

    /// Serves over https, with a certificate of an authority of its own: [`GitServer::ca_file`].
    pub fn https(root: &Path) -> Self {
        Self::nginx(root, Kind::Https, None)
    }

    /// The same with a certificate that is its own authority, as `openssl req -x509` makes it.
    pub fn https_self_signed(root: &Path) -> Self {
        Self::nginx(root, Kind::SelfSigned, None)
    }

    fn nginx(root: &Path, kind: Kind, password: Option<(&str, &str)>) -> Self {
        let nginx = program("nginx", "nginx-light");
        let fcgiwrap = program("fcgiwrap", "fcgiwrap");
        let private = tempfile::tempdir().unwrap();
        let at = private.path();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();

        let socket = at.join("fcgi.sock");
        let gateway = UnixListener::bind(&socket).unwrap();
        // fcgiwrap takes its listening socket as standard input.
        let mut gateway_command = Command::new(fcgiwrap);
        gateway_command
            .args(["-c", "2"])
            .stdin(Stdio::from(OwnedFd::from(gateway)))
            .process_group(0);
        gateway_command
            .stdout(Stdio::null())
            .stderr(fs::File::create(at.join("fcgi.log")).unwrap());
        let gateway = Server(gateway_command.spawn().unwrap());

        let mut server = Vec::new();
        if matches!(kind, Kind::Https | Kind::SelfSigned) {
            certificate(at, kind == Kind::SelfSigned);
            server.push(format!(
                "ssl_certificate {0}/server.pem; ssl_certificate_key {0}/server.key;\n",
                at.display()
            ));
        }
        if let Some((user, password)) = password {
            fs::write(at.join("passwords"), format!("{user}:{{PLAIN}}{password}\n")).unwrap();
            server.push(format!(
                "auth_basic git; auth_basic_user_file {}/passwords;\n",
                at.display()
            ));
        }
        let config = nginx_config(at, root, port, kind, &server.concat());
        fs::write(at.join("nginx.conf"), config).unwrap();
        // nginx takes listening sockets from the process that it replaces, named in $NGINX by number.
        let script = "exec 3<&0 </dev/null; NGINX='3;' exec \"$@\"";
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", script, "sh"])
            .arg(nginx)
            .arg("-p")
            .arg(at)
            .arg("-c")
            .arg(at.join("nginx.conf"));
        command
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .process_group(0)
            .stdout(Stdio::null());
        command.stderr(fs::File::create(at.join("nginx.err")).unwrap());
        let front = Server(command.spawn().unwrap());
        Self {
            kind,
            port,
            root: root.to_owned(),
            private,
            _processes: vec![front, gateway],
            ssh: None,
        }
    }

    /// Serves over ssh to the current user with the key [`GitServer::ssh_key`].
    pub fn ssh(root: &Path) -> Self {
        let sshd = program("sshd", "openssh-server");
        let private = tempfile::tempdir().unwrap();
        let at = private.path();
        for kind in ["ed25519", "rsa", "ecdsa"] {
            key(&at.join(format!("host_{kind}")), kind, "");
        }
        key(&at.join("deploy"), "ed25519", "");
        fs::copy(at.join("deploy.pub"), at.join("authorized_keys")).unwrap();
        if nix::unistd::geteuid().is_root() {
            fs::create_dir_all("/run/sshd").expect("sshd needs /run/sshd when it is started by root");
        }
        let config = format!(
            "HostKey {0}/host_ed25519\nHostKey {0}/host_rsa\nHostKey {0}/host_ecdsa\n\
             AuthorizedKeysFile {0}/authorized_keys\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nPermitRootLogin yes\nPidFile none\nLogLevel VERBOSE\n",
            at.display()
        );
        fs::write(at.join("sshd_config"), config).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let ssh = SshLoop::start(listener, sshd, at.join("sshd_config"), at.join("sshd.log"));
        Self {
            kind: Kind::Ssh,
            port,
            root: root.to_owned(),
            private,
            _processes: Vec::new(),
            ssh: Some(ssh),
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// URL of a repository below the root.
    pub fn url(&self, repo: &str) -> String {
        self.url_at_port(repo, self.port)
    }

    /// The same through a proxy.
    pub fn url_at_port(&self, repo: &str, port: u16) -> String {
        match self.kind {
            Kind::Http => format!("http://127.0.0.1:{port}/{repo}"),
            Kind::Https | Kind::SelfSigned => format!("https://127.0.0.1:{port}/{repo}"),
            Kind::Ssh => format!("ssh://{}@127.0.0.1:{port}{}", user(), self.root.join(repo).display()),
        }
    }

    /// PEM file of the authority of an https server.
    pub fn ca_file(&self) -> PathBuf {
        self.private.path().join("ca.pem")
    }

    /// What an http server was asked, a line each: number of the connection, method, path, coding of the answer.
    pub fn requests(&self) -> Vec<String> {
        let text = fs::read_to_string(self.private.path().join("access.log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The private key that an ssh server lets in.
    pub fn ssh_key(&self) -> PathBuf {
        self.private.path().join("deploy")
    }

    /// Lets the holder of another key in, too.
    pub fn let_in(&self, public: &str) {
        let path = self.private.path().join("authorized_keys");
        let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
        writeln!(file, "{public}").unwrap();
    }

    /// Another private key, which it does not.
    pub fn other_ssh_key(&self, passphrase: &str) -> PathBuf {
        let path = self.private.path().join("other");
        key(&path, "ed25519", passphrase);
        path
    }

    /// A `known_hosts` line for an ssh server's key of this type: `ed25519`, `rsa` or `ecdsa`.
    pub fn host_key_line(&self, kind: &str) -> String {
        let public = fs::read_to_string(self.private.path().join(format!("host_{kind}.pub"))).unwrap();
        let words: Vec<&str> = public.split(' ').collect();
        format!("[127.0.0.1]:{} {} {}\n", self.port, words[0], words[1].trim())
    }

    /// A `known_hosts` file with these lines.
    pub fn known_hosts(&self, lines: &str) -> PathBuf {
        let path = self.private.path().join("known_hosts");
        fs::write(&path, lines).unwrap();
        path
    }

    /// What the server logged, for failing tests.
    pub fn log(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.private.path().join(name)).unwrap_or_default();
        ["nginx.err", "error.log", "fcgi.log", "sshd.log"].map(read).concat()
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        self.ssh.take();
        if thread::panicking() {
            eprintln!("--- log of the git server:\n{}", self.log());
        }
    }
}

fn user() -> String {
    nix::unistd::User::from_uid(nix::unistd::geteuid())
        .unwrap()
        .expect("the current user has a name")
        .name
}

fn key(path: &Path, kind: &str, passphrase: &str) {
    let mut command = Command::new(program("ssh-keygen", "openssh-client"));
    command
        .args(["-q", "-t", kind, "-N", passphrase, "-C", "test", "-f"])
        .arg(path);
    if kind == "rsa" {
        command.args(["-b", "2048"]);
    }
    run(&mut command, b"");
}

/// An authority and a certificate of it for 127.0.0.1, or both in one.
fn certificate(at: &Path, self_signed: bool) {
    let openssl = program("openssl", "openssl");
    let call = |arguments: &str| {
        run(Command::new(&openssl).args(arguments.split(' ')).current_dir(at), b"");
    };
    let ec = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    if self_signed {
        let san = "-subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1";
        call(&format!(
            "req -x509 {ec} -keyout server.key -out server.pem -days 30 {san}"
        ));
        fs::copy(at.join("server.pem"), at.join("ca.pem")).unwrap();
        return;
    }
    call(&format!(
        "req -x509 {ec} -keyout ca.key -out ca.pem -days 30 -subj /CN=test-ca"
    ));
    call(&format!(
        "req {ec} -keyout server.key -out server.csr -subj /CN=127.0.0.1"
    ));
    fs::write(at.join("san"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    call("x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 30 -extfile san");
}

fn nginx_config(at: &Path, root: &Path, port: u16, kind: Kind, server: &str) -> String {
    let backend = PathBuf::from(run(git_command().arg("--exec-path"), b"")).join("git-http-backend");
    assert!(
        backend.is_file(),
        "this test needs git-http-backend: install it with `apt-get install git`"
    );
    let ssl = if matches!(kind, Kind::Https | Kind::SelfSigned) {
        " ssl"
    } else {
        ""
    };
    let parameters = [
        ("SCRIPT_FILENAME", backend.to_str().unwrap()),
        ("GIT_PROJECT_ROOT", root.to_str().unwrap()),
        ("GIT_HTTP_EXPORT_ALL", "1"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "safe.directory"),
        ("GIT_CONFIG_VALUE_0", "*"),
        ("PATH_INFO", "$uri"),
        ("QUERY_STRING", "$query_string"),
        ("REQUEST_METHOD", "$request_method"),
        ("CONTENT_TYPE", "$content_type"),
        ("CONTENT_LENGTH", "$content_length"),
        ("REMOTE_USER", "$remote_user"),
    ];
    let parameters: Vec<String> = parameters
        .iter()
        .map(|(k, v)| format!("fastcgi_param {k} \"{v}\";\n"))
        .collect();
    let parameters = parameters.concat();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|n| format!("{n}_temp_path {}/{n};\n", at.display()))
        .concat();
    format!(
        "daemon off;\n{user}worker_processes 1;\npid {at}/nginx.pid;\nerror_log {at}/error.log;\nevents {{}}\n\
         http {{\nlog_format plain '$connection $request_method $uri $sent_http_content_encoding';\naccess_log {at}/access.log plain;\n\
         gzip {gzip};\ngzip_types application/x-git-upload-pack-advertisement application/x-git-upload-pack-result;\ngzip_min_length 1;\nclient_max_body_size 0;\n{temporary}\
         server {{\nlisten 127.0.0.1:{port}{ssl};\n{server}\
         location / {{\nfastcgi_pass unix:{at}/fcgi.sock;\n{parameters}}}\n}}\n}}\n",
        user = if nix::unistd::geteuid().is_root() {
            "user root;\n"
        } else {
            ""
        },
        // Forges compress or don't.
        gzip = if kind == Kind::Https { "on" } else { "off" },
        at = at.display()
    )
}

/// Accepts connections and gives each to an `sshd -i`, as inetd would.
struct SshLoop {
    stop: Arc<AtomicBool>,
    port: u16,
    thread: Option<thread::JoinHandle<()>>,
}

impl SshLoop {
    fn start(listener: TcpListener, sshd: PathBuf, config: PathBuf, log: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let port = listener.local_addr().unwrap().port();
        let stopped = stop.clone();
        let accept = move || {
            let mut sessions = Vec::new();
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                let log = fs::OpenOptions::new()
                    .create(true)
                    .append(true)
                    .mode(0o600)
                    .open(&log)
                    .unwrap();
                let mut command = Command::new(&sshd);
                command
                    .arg("-i")
                    .arg("-e")
                    .arg("-f")
                    .arg(&config)
                    .process_group(0)
                    .stderr(log);
                command.stdout(Stdio::from(OwnedFd::from(stream.try_clone().unwrap())));
                command.stdin(Stdio::from(OwnedFd::from(stream)));
                sessions.push(Server(command.spawn().unwrap()));
            }
        };
        Self {
            stop,
            port,
            thread: Some(thread::spawn(accept)),
        }
    }
}

impl Drop for SshLoop {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let _ = self.thread.take().unwrap().join();
    }
}

/// Permission bits of a file.
pub fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}
