//! One request, handed over by a web server (CGI) or a super-server (inetd, systemd, launchd).

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};

use super::kick;
use super::receiver::Receiver;
use crate::cli::args::Global;
use crate::cli::command_error::{CommandError, OrExit};
use crate::cli::commands::beat;
use crate::cli::exit_code;
use crate::config::Config;
use crate::domain::webhook::{Answer, RequestHeaders};
use crate::io::webhook::{self, Post};

/// A request on stdin and its answer on stdout, in the terms of RFC 3875.
pub(super) fn cgi(global: &Global, no_kick: bool) -> Result<u8, CommandError> {
    let opened = Receiver::open(global);
    let (answer, error) = match &opened {
        Ok((receiver, _)) => taken(receiver, webhook::read_cgi(&io::stdin(), &of_environment(), &receiver.path)),
        Err(_) => (Some(Answer::Unavailable), None),
    };
    let Some(answer) = answer else { return Ok(0) };
    let mut stdout = io::stdout().lock();
    let text = format!("Status: {} {}\r\n{}", answer.status(), answer.words(), answer.rest());
    // The header that RFC 3875 leaves to the web server.
    let text = text.replace("Connection: close\r\n", "");
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    let (_, config) = opened?;
    if answer.is_waiting() && !no_kick && !kick::is_off(&config) {
        kick::spawn(global, false)?;
    }
    match error {
        Some(error) => Err(error),
        // Recorded all the same: the marketplace sends it again.
        None => written.or_exit(exit_code::STATE, || "could not answer".to_owned()).map(|()| 0),
    }
}

/// The request headers as the web server hands them on.
fn of_environment() -> RequestHeaders {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let script = || [variable("SCRIPT_NAME"), variable("PATH_INFO")].into_iter().flatten().collect();
    let lengths: Vec<String> = variable("CONTENT_LENGTH").into_iter().collect();
    RequestHeaders {
        method: variable("REQUEST_METHOD").unwrap_or_default(),
        target: variable("REQUEST_URI").unwrap_or_else(script),
        is_chunked: lengths.is_empty() && variable("HTTP_TRANSFER_ENCODING").is_some(),
        lengths,
        expects: false,
        signatures: variable("HTTP_X_ATELIER_SIGNATURE").into_iter().collect(),
    }
}

/// A request on the socket that is stdin. After the answer the connection is closed, and this process becomes the run.
pub(super) fn inetd(global: &Global, no_kick: bool) -> Result<u8, CommandError> {
    let socket = take_stdin().or_exit(exit_code::INTERNAL, || "could not take over the socket".to_owned())?;
    let opened = Receiver::open(global);
    let (answer, error) = serve(&socket, opened.as_ref().map(|(receiver, _)| receiver).ok());
    drop(socket);
    let (_, config) = opened?;
    if let Some(error) = error {
        return Err(error);
    }
    let is_waiting = answer.is_some_and(Answer::is_waiting);
    Ok(if is_waiting && !no_kick && !kick::is_off(&config) { become_run(global, &config) } else { 0 })
}

/// The event is answered: what comes of the run is in its log and its notices, not in this exit code.
fn become_run(global: &Global, config: &Config) -> u8 {
    match beat::kicked(global, config) {
        stopped @ 128.. => stopped,
        _ => 0,
    }
}

/// Serves one connection. Without a receiver there is no secret or no address: every request is to be sent again.
pub(super) fn serve(socket: &impl AsFd, receiver: Option<&Receiver>) -> (Option<Answer>, Option<CommandError>) {
    let Some(receiver) = receiver else {
        webhook::answer(socket, Answer::Unavailable, false);
        return (Some(Answer::Unavailable), None);
    };
    let read = webhook::read_socket(socket, &receiver.path);
    let is_whole = read.is_ok();
    let (answer, error) = taken(receiver, read);
    if let Some(answer) = answer {
        webhook::answer(socket, answer, is_whole);
    }
    (answer, error)
}

fn taken(receiver: &Receiver, read: Result<Post, Option<Answer>>) -> (Option<Answer>, Option<CommandError>) {
    match read {
        Ok(post) => {
            let signatures: Vec<&str> = post.signatures.iter().map(String::as_str).collect();
            let (answer, error) = receiver.take(&signatures, &post.body);
            (Some(answer), error)
        }
        Err(answer) => (answer, None),
    }
}

/// Takes the socket off stdin, stdout and stderr, so that nothing else is written to the client.
fn take_stdin() -> io::Result<OwnedFd> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    let of = |file: &dyn AsFd| rustix::fs::fstat(file.as_fd()).map(|stat| (stat.st_dev, stat.st_ino)).ok();
    let client = of(&socket);
    if of(&io::stderr()) == client {
        rustix::stdio::dup2_stderr(&null)?;
    }
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stdin(&null)?;
    Ok(socket)
}
