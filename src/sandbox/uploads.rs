//! Files: taken as a form, or put into the blob store with leave to do so.
//!
//! This file refuses to keep bytes: the market knows what it took and where it is served, a server keeps the rest.

use serde_json::json;
use sha2::{Digest, Sha256};

use super::exchange::{Outcome, Refusal, Reply, Request};
use super::market::{Grant, Market, Taken, Upload};
use super::multipart::{self, Flaw};
use super::recorder::Stored;
use super::routes::Call;
use super::rules;
use crate::domain::limits::MAX_UPLOAD_BYTES;
use crate::domain::order::hex;
use crate::domain::time::Time;

impl Market {
    pub(super) fn upload(&mut self, now: Time, request: &Request, taken: &mut Option<Taken>) -> Outcome {
        let agent = self.authenticated(Call::Upload, request)?;
        let kind = request.header("content-type").unwrap_or_default();
        let file = multipart::file(kind, &request.body, "file").map_err(|flaw| match flaw {
            Flaw::Missing => Refusal::new(400, "No file provided"),
            Flaw::Malformed if self.dialect.is_live() => Refusal::new(500, "Internal server error"),
            Flaw::Malformed => Refusal::new(400, "The request body must be multipart/form-data"),
        })?;
        let media_type = rules::media_type(self.dialect, &file.content_type)
            .ok_or_else(|| Refusal::new(400, format!("Unsupported file type: {}", file.content_type)))?;
        let bytes = &request.body[file.bytes.clone()];
        if bytes.len() as u64 > MAX_UPLOAD_BYTES {
            return Err(Refusal::new(400, "File too large. Maximum size is 50MB"));
        }
        let path = self.fresh_path(agent, now, &file.content_type);
        let url = self.keep(now, &path, &file.content_type, bytes);
        *taken = Some(Taken { path, bytes: file.bytes });
        Ok(Reply::data(200, &json!({"url": url, "media_type": media_type})))
    }

    pub(super) fn upload_token(&mut self, now: Time, request: &Request) -> Outcome {
        let agent = self.authenticated(Call::UploadToken, request)?;
        let body = rules::members(self.dialect, request)?;
        let content_type = rules::required("content_type", rules::sized(&body, "content_type", 1..=100)?)?;
        rules::required("filename", rules::sized(&body, "filename", 1..=255)?)?;
        if rules::media_type(self.dialect, &content_type).is_none() {
            return Err(Refusal::new(400, format!("Unsupported file type: {content_type}")));
        }
        let pathname = self.fresh_path(agent, now, &content_type).trim_start_matches("/files/").to_owned();
        let token = self.secret("vercel_blob_client");
        let data = json!({"upload_token": token, "pathname": pathname});
        self.grants.insert(token, Grant { content_type, pathname });
        Ok(Reply::data(200, &data))
    }

    /// The blob store is another house: its own key, its own words, no envelope.
    pub(super) fn blob(&mut self, now: Time, request: &Request, taken: &mut Option<Taken>) -> Outcome {
        let refuse = |status, code: &str, message: &str| {
            Ok(Reply::json(status, &json!({"error": {"code": code, "message": message}})))
        };
        let grant = request.bearer().and_then(|token| self.grants.get(token)).cloned();
        let Some(grant) = grant.filter(|grant| request.query("pathname").as_ref() == Some(&grant.pathname)) else {
            return refuse(403, "forbidden", "Access denied, please provide a valid token for this resource.");
        };
        if request.header("x-api-version").is_none() {
            return refuse(400, "bad_request", "Missing x-api-version header");
        }
        if request.header("content-type") != Some(&grant.content_type) {
            return refuse(400, "bad_request", "Content type mismatch");
        }
        if request.body.len() as u64 > MAX_UPLOAD_BYTES {
            return refuse(400, "bad_request", "File is too large");
        }
        if let Some(token) = request.bearer() {
            self.grants.remove(token);
        }
        let path = format!("/files/{}", grant.pathname);
        let url = self.keep(now, &path, &grant.content_type, &request.body);
        *taken = Some(Taken { path, bytes: 0..request.body.len() });
        Ok(Reply::json(200, &json!({"url": url, "pathname": grant.pathname, "contentType": grant.content_type})))
    }

    /// Where the next file is served: every part of the path is ours.
    fn fresh_path(&mut self, agent: usize, now: Time, content_type: &str) -> String {
        let name = self.name("f", now);
        let name = name.trim_start_matches("f_").replace('_', "-");
        format!(
            "/files/atelier/uploads/{}/{name}.{}",
            self.agents[agent].id,
            crate::domain::deliverable::extension(content_type)
        )
    }

    fn keep(&mut self, now: Time, path: &str, content_type: &str, bytes: &[u8]) -> String {
        let url = format!("{}{path}", self.public_url);
        let upload = Upload {
            sha256: hex(&Sha256::digest(bytes)),
            bytes: bytes.len() as u64,
            content_type: content_type.to_owned(),
            at: now,
        };
        self.uploads.insert(path.to_owned(), upload);
        self.books.uploads.push(Stored { at: now, name: url.clone() });
        url
    }
}
