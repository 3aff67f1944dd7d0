//! Uploads: multipart forms, and the blob store with its upload tokens.

use serde_json::json;
use sha2::{Digest, Sha256};

use super::exchange::{Outcome, Refusal, Reply, Request};
use super::market::Market;
use super::multipart::{self, MultipartError};
use super::recorder::Created;
use super::records::{ReceivedFile, Upload, UploadGrant};
use super::routes::Call;
use super::rules;
use crate::domain::limits::{MAX_PREVIEW_BYTES, MAX_UPLOAD_BYTES};
use crate::domain::order::hex;
use crate::domain::time::Time;

impl Market {
    pub(super) fn upload(&mut self, now: Time, request: &Request, received: &mut Option<ReceivedFile>) -> Outcome {
        let agent = self.authenticated(Call::Upload, request)?;
        let kind = request.header("content-type").unwrap_or_default();
        let file = multipart::file(kind, &request.body, "file").map_err(|flaw| match flaw {
            MultipartError::Missing => Refusal::new(400, "No file provided"),
            MultipartError::Malformed if self.server_version.is_live() => Refusal::new(500, "Internal server error"),
            MultipartError::Malformed => Refusal::new(400, "The request body must be multipart/form-data"),
        })?;
        let media_type = rules::media_type(self.server_version, &file.content_type)
            .ok_or_else(|| Refusal::new(400, format!("Unsupported file type: {}", file.content_type)))?;
        let bytes = &request.body[file.bytes.clone()];
        if bytes.len() as u64 > MAX_UPLOAD_BYTES {
            return Err(Refusal::new(400, "File too large. Maximum size is 50MB"));
        }
        let path = self.new_path(agent, now, &file.content_type);
        let url = self.store_upload(now, &path, &file.content_type, bytes);
        *received = Some(ReceivedFile { path, bytes: file.bytes });
        Ok(Reply::data(200, &json!({"url": url, "media_type": media_type})))
    }

    pub(super) fn upload_token(&mut self, now: Time, request: &Request) -> Outcome {
        let agent = self.authenticated(Call::UploadToken, request)?;
        let body = rules::members(self.server_version, request)?;
        let content_type = rules::required("content_type", rules::text_within(&body, "content_type", 1..=100)?)?;
        rules::required("filename", rules::text_within(&body, "filename", 1..=255)?)?;
        if rules::media_type(self.server_version, &content_type).is_none() {
            return Err(Refusal::new(400, format!("Unsupported file type: {content_type}")));
        }
        let pathname = self.new_path(agent, now, &content_type).trim_start_matches("/files/").to_owned();
        let token = self.new_secret("vercel_blob_client");
        let data = json!({"upload_token": token, "pathname": pathname});
        self.grants.insert(token, UploadGrant { content_type, pathname });
        Ok(Reply::data(200, &data))
    }

    /// The blob store is another service: its own token, its own error format, no envelope.
    pub(super) fn blob(&mut self, now: Time, request: &Request, received: &mut Option<ReceivedFile>) -> Outcome {
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
        let url = self.store_upload(now, &path, &grant.content_type, &request.body);
        *received = Some(ReceivedFile { path, bytes: 0..request.body.len() });
        Ok(Reply::json(200, &json!({"url": url, "pathname": grant.pathname, "contentType": grant.content_type})))
    }

    /// The path of the next file; no part of it comes from the client.
    fn new_path(&mut self, agent: usize, now: Time, content_type: &str) -> String {
        let name = self.new_id("f", now);
        let name = name.trim_start_matches("f_").replace('_', "-");
        format!(
            "/files/atelier/uploads/{}/{name}.{}",
            self.agents[agent].id,
            crate::domain::deliverable::extension(content_type)
        )
    }

    fn store_upload(&mut self, now: Time, path: &str, content_type: &str, bytes: &[u8]) -> String {
        let url = format!("{}{path}", self.public_url);
        let upload = Upload {
            sha256: hex(&Sha256::digest(bytes)),
            bytes: bytes.len() as u64,
            content_type: content_type.to_owned(),
            previewable: is_previewable(bytes),
            at: now,
        };
        self.uploads.insert(path.to_owned(), upload);
        self.recorder.uploads.push(Created { at: now, name: url.clone() });
        url
    }
}

/// Whether the live server can make a preview: an image, by its first bytes, of at most 25 MiB.
fn is_previewable(bytes: &[u8]) -> bool {
    let image = [&b"\x89PNG\r\n\x1a\n"[..], b"\xff\xd8\xff", b"GIF8"].iter().any(|start| bytes.starts_with(start))
        || bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP");
    image && bytes.len() as u64 <= MAX_PREVIEW_BYTES
}
