//! `mmhc lsp`: the language server on stdio. Messages of the Language Server Protocol flow in and out; every answer is
//! `mmh-ide`'s, turned into the protocol's words. Read [`serve`] first.
//!
//! One loop takes messages in their order, so an answer is always about the text as it was when the question was asked.
//! Diagnostics are only sent once no message waits: edits in quick succession are checked once, with the version they end at.
//! While a text is being written, only what an edit reaches is checked for mistakes; in a pause, all of it is.

mod answers;
mod documents;
mod project;
mod server;
mod text;
mod uri;
mod world;

use crate::args::Rest;
use crate::outcome::{Exit, Failure, Outcome};
use lsp_server::{Connection, ErrorCode, Message, Request, RequestId, Response};
use server::Server;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Nothing typed for so long is a pause.
const PAUSE: Duration = Duration::from_millis(250);

/// Serves one client on stdio. The words behind `lsp` are those editors add, such as `--stdio`.
pub(crate) fn lsp(_: &Rest) -> Outcome {
    let (connection, threads) = Connection::stdio();
    let orderly = serve(connection);
    // What could not be written has nobody to read it.
    let _ = threads.join();
    match orderly {
        true => Ok(()),
        false => Err(Failure::Said(Exit::Fault)),
    }
}

/// Serves until `exit`; true if `shutdown` came first, as it should.
fn serve(connection: Connection) -> bool {
    let Ok((id, asked)) = connection.initialize_start() else {
        return false;
    };
    let asked = serde_json::from_value(asked).unwrap_or_default();
    let mut server = Server::new(&asked);
    let about = serde_json::json!({
        "capabilities": server.capabilities(),
        "serverInfo": { "name": "mmhc", "version": env!("CARGO_PKG_VERSION") },
    });
    if connection.initialize_finish(id, about).is_err() {
        return false;
    }
    let mut queue = Queue::default();
    let mut shut = false;
    loop {
        queue.fill(&connection);
        let message = match queue.0.pop_front() {
            Some(message) => message,
            None => {
                for sent in guarded(|| server.publish()).unwrap_or_default() {
                    let _ = connection.sender.send(Message::Notification(sent));
                }
                match next(&connection, &mut server) {
                    Some(message) => message,
                    None => return false,
                }
            }
        };
        match message {
            Message::Request(request) => {
                let cancelled = queue.cancels(&request.id);
                shut |= request.method == "shutdown";
                let response = answer(&mut server, request, cancelled, shut);
                let _ = connection.sender.send(Message::Response(response));
            }
            Message::Notification(note) if note.method == "exit" => return shut,
            Message::Notification(note) => {
                // A notification has no answer; what cannot be read is left alone.
                let _ = guarded(|| server.note(&note.method, note.params));
            }
            Message::Response(_) => {}
        }
    }
}

/// The next message; nothing once there are no more. While none comes, what was checked in part is checked whole.
fn next(connection: &Connection, server: &mut Server) -> Option<Message> {
    if server.is_settled() {
        return connection.receiver.recv().ok();
    }
    match connection.receiver.recv_timeout(PAUSE) {
        Ok(message) => return Some(message),
        Err(error) if !error.is_timeout() => return None,
        Err(_) => {}
    }
    for sent in guarded(|| server.settle()).unwrap_or_default() {
        let _ = connection.sender.send(Message::Notification(sent));
    }
    connection.receiver.recv().ok()
}

/// Messages that wait.
#[derive(Default)]
struct Queue(VecDeque<Message>);

impl Queue {
    fn fill(&mut self, connection: &Connection) {
        while let Ok(message) = connection.receiver.try_recv() {
            self.0.push_back(message);
        }
    }

    /// Whether a waiting message takes a request back.
    fn cancels(&self, id: &RequestId) -> bool {
        self.0
            .iter()
            .any(|message| cancelled(message).as_ref() == Some(id))
    }
}

fn cancelled(message: &Message) -> Option<RequestId> {
    match message {
        Message::Notification(note) if note.method == "$/cancelRequest" => {
            serde_json::from_value(note.params.get("id")?.clone()).ok()
        }
        Message::Notification(_) | Message::Request(_) | Message::Response(_) => None,
    }
}

fn answer(server: &mut Server, request: Request, cancelled: bool, shut: bool) -> Response {
    let id = request.id;
    let error =
        |id, code: ErrorCode, text: &str| Response::new_err(id, code as i32, text.to_owned());
    if request.method == "shutdown" {
        return Response::new_ok(id, serde_json::Value::Null);
    }
    if shut {
        return error(id, ErrorCode::InvalidRequest, "the server is shutting down");
    }
    if cancelled {
        return error(id, ErrorCode::RequestCanceled, "cancelled");
    }
    match guarded(|| server.ask(&request.method, request.params)) {
        Ok(Ok(value)) => Response::new_ok(id, value),
        Ok(Err((code, text))) => error(id, code, &text),
        Err(reason) => error(
            id,
            ErrorCode::InternalError,
            &format!("this is a mistake in mmhc, not in your recipe: {reason}"),
        ),
    }
}

/// Runs one message's work. A panic in it is that message's end and no other's: the texts were stored before, and every
/// analysis is made anew from them.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let text = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned());
        text.or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "an unknown reason".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lsp_server::Notification;

    #[test]
    #[expect(clippy::panic, reason = "it is what is tested")]
    fn a_panic_ends_one_message_only() {
        assert_eq!(
            guarded(|| panic!("one {}", 1)),
            Err::<(), _>("one 1".into())
        );
        assert_eq!(guarded(|| 2), Ok(2));
    }

    #[test]
    fn a_request_that_panics_is_answered_and_the_next_too() {
        let (ours, theirs) = Connection::memory();
        let serving = std::thread::spawn(move || serve(ours));
        let ask = |id: i32, method: &str, params| {
            let request = Request::new(id.into(), method.to_owned(), params);
            theirs
                .sender
                .send(Message::Request(request))
                .expect("a server");
        };
        let hear = || loop {
            if let Message::Response(response) = theirs.receiver.recv().expect("an answer") {
                return response;
            }
        };
        let tell = |method: &str| {
            let note = Notification::new(method.to_owned(), serde_json::json!({}));
            theirs
                .sender
                .send(Message::Notification(note))
                .expect("a server");
        };
        ask(1, "initialize", serde_json::json!({ "capabilities": {} }));
        hear();
        tell("initialized");
        ask(2, server::PANIC, serde_json::json!({}));
        let answer = hear();
        let error = answer.response_result.expect_err("an error");
        assert_eq!(error.code, ErrorCode::InternalError as i32);
        assert!(error.message.contains("on purpose"), "{}", error.message);
        ask(3, "textDocument/hover", serde_json::json!({}));
        assert_eq!(
            hear().response_result.expect_err("an error").code,
            ErrorCode::InvalidParams as i32
        );
        ask(4, "shutdown", serde_json::Value::Null);
        assert!(hear().response_result.is_ok());
        tell("exit");
        assert!(serving.join().expect("no panic"));
    }
}
