//! What is on its way to the marketplace: files and deliveries of different orders, several at once where that is asked for.
//!
//! Each goes out in a thread of its own, which touches nothing but its file and its connection: the beat alone records.
//! Out of scope: what is sent, and when.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use crate::domain::api_error::{ApiError, ApiErrorKind};
use crate::domain::deliverable::{Deliverable, Hosted, MediaError};
use crate::domain::lifecycle::OrderRecord;
use crate::domain::order::OrderId;
use crate::io::marketplace::Client;
use crate::io::media;
use crate::io::progress::Progress;
use crate::io::signals::Signals;
use crate::worker::host::Host;
use crate::worker::{Payload, TransferResult, UploadError};

/// One file or delivery, with all that is needed to send it.
#[derive(Clone, Debug)]
pub struct Transfer {
    order: OrderId,
    what: What,
    /// What hosts files in place of the marketplace.
    host: Option<Host>,
}

#[derive(Clone, Debug)]
enum What {
    File { index: usize, work: PathBuf, file: Option<Deliverable> },
    Delivery(Vec<Hosted>),
}

impl Transfer {
    /// Of this order, whose files are in the folder `work`.
    #[must_use]
    pub fn of(record: &OrderRecord, payload: Payload, work: PathBuf, host: Option<Host>) -> Self {
        let what = match payload {
            Payload::File(index) => What::File { index, work, file: record.deliverables.get(index).cloned() },
            Payload::Delivery => {
                What::Delivery(record.deliverables.iter().filter_map(|one| one.hosted.clone()).collect())
            }
        };
        Self { order: record.order.id.clone(), what, host }
    }

    /// Sends it, and waits for the answer.
    pub fn send(&self, client: &mut Client, progress: &mut Progress) -> TransferResult {
        match &self.what {
            What::File { index, work, file } => {
                let gone = || Err(UploadError::FileChanged("it is not there".into()));
                let send = |file| match &self.host {
                    Some(host) => self.hosted(host, work, file),
                    None => upload(client, work, file, progress),
                };
                TransferResult::File(*index, file.as_ref().map_or_else(gone, send))
            }
            What::Delivery(hosted) => TransferResult::Delivery(client.deliver(&self.order, hosted)),
        }
    }

    /// Has a command host a file, after making sure that it is the file that was judged.
    fn hosted(&self, host: &Host, work: &Path, file: &Deliverable) -> Result<Hosted, UploadError> {
        media::open_unchanged(work, file).map_err(changed)?;
        host.host(&self.order, work, file).map_err(UploadError::Api)
    }

    /// What is left to say of one whose thread ended without a word.
    fn unanswered(&self) -> TransferResult {
        let fault =
            ApiError::new(ApiErrorKind::Unanswered, "sending it ended in a fault of this program: please report it");
        match self.what {
            What::File { index, .. } => TransferResult::File(index, Err(UploadError::Api(fault))),
            What::Delivery(_) => TransferResult::Delivery(Err(fault)),
        }
    }
}

fn changed(unfit: MediaError) -> UploadError {
    match unfit {
        MediaError::Judged(why) | MediaError::NotTaken(why) => UploadError::FileChanged(why),
        MediaError::Unread(why) => UploadError::Unread(why),
    }
}

/// After making sure that it is the file that was judged.
fn upload(
    client: &mut Client,
    work: &Path,
    deliverable: &Deliverable,
    progress: &mut Progress,
) -> Result<Hosted, UploadError> {
    let (opened, bytes) = media::open_unchanged(work, deliverable).map_err(changed)?;
    let body = progress.reading(opened, &deliverable.file, bytes);
    if deliverable.large {
        return client.upload_large(body, bytes, &deliverable.content_type).map_err(UploadError::Api);
    }
    client.upload(body, bytes, &deliverable.content_type).map_err(|fault| match fault.kind {
        ApiErrorKind::TooLarge => UploadError::TooLarge,
        _ => UploadError::Api(fault),
    })
}

/// An order, what came of it, and the requests it took.
type Arrival = (OrderId, TransferResult, u32);

/// Everything that is on its way.
#[derive(Debug)]
pub struct Transfers {
    results: (Sender<Arrival>, Receiver<Arrival>),
    on_its_way: usize,
    requests: u32,
}

impl Default for Transfers {
    fn default() -> Self {
        Self { results: channel(), on_its_way: 0, requests: 0 }
    }
}

impl Transfers {
    /// How much is on its way.
    #[must_use]
    pub fn on_its_way(&self) -> usize {
        self.on_its_way
    }

    /// Requests made by what has arrived.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.requests
    }

    /// Sends it in a thread of its own, whose end ends the beat's wait. `false` where there is no room for a thread.
    pub fn send(&mut self, sending: Transfer, mut client: Client, signals: &Signals) -> bool {
        let Ok(waker) = signals.waker() else { return false };
        let arrived = self.results.0.clone();
        let work = move || {
            let send = AssertUnwindSafe(|| sending.send(&mut client, &mut Progress::default()));
            let sent = catch_unwind(send).unwrap_or_else(|_| sending.unanswered());
            // The beat may be over.
            let _ = arrived.send((sending.order, sent, client.requests()));
            waker.wake();
        };
        let begun = std::thread::Builder::new().name("sending".into()).spawn(work).is_ok();
        self.on_its_way += usize::from(begun);
        begun
    }

    /// What was sent without a thread has its answer already.
    pub fn settle(&mut self, sending: Transfer, sent: TransferResult) {
        self.on_its_way += 1;
        let _ = self.results.0.send((sending.order, sent, 0));
    }

    /// What came of one of them; none when nothing more arrives within this time.
    pub fn sent(&mut self, within: Duration) -> Option<(OrderId, TransferResult)> {
        if self.on_its_way == 0 {
            return None;
        }
        let (order, sent, requests) = self.results.1.recv_timeout(within).ok()?;
        self.on_its_way -= 1;
        self.requests += requests;
        Some((order, sent))
    }
}
