//! The catalogue of faults: name, description, and whether the request is still carried out.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::routes::Call;

macro_rules! faults {
    (instead { $($before:ident $before_name:literal $before_about:literal)* }
     after { $($after:ident $after_name:literal $after_about:literal)* }) => {
        /// A fault of the sandbox.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub enum Fault {
            $(#[doc = $before_about] $before,)*
            $(#[doc = $after_about] $after,)*
        }

        impl Fault {
            /// Every fault.
            pub const ALL: &[Self] = &[$(Self::$before,)* $(Self::$after,)*];

            const fn name(self) -> &'static str {
                match self {
                    $(Self::$before => $before_name,)*
                    $(Self::$after => $after_name,)*
                }
            }

            /// What is answered, or what is wrong with the answer.
            #[must_use]
            pub const fn words(self) -> &'static str {
                match self {
                    $(Self::$before => $before_about,)*
                    $(Self::$after => $after_about,)*
                }
            }

            /// Describes it in a line.
            #[must_use]
            pub const fn describe(self) -> &'static str {
                match self {
                    $(Self::$before => concat!($before_about, "; the request is not carried out"),)*
                    $(Self::$after => concat!("the request is carried out; ", $after_about),)*
                }
            }

            /// Whether the request is carried out, so that only its answer is wrong.
            #[must_use]
            pub const fn commits(self) -> bool {
                matches!(self, $(Self::$after)|*)
            }
        }
    };
}

faults! {
    instead {
        Status400 "status-400" "400 as the marketplace writes it"
        Status404 "status-404" "404 as the marketplace writes it"
        Status408 "status-408" "408 without a body"
        Status409 "status-409" "409 as the marketplace writes it"
        Status422 "status-422" "422 as the marketplace writes it"
        Status500 "status-500" "500 as the marketplace writes it"
        Status502Html "status-502-html" "502 and a proxy's page"
        Status503RetryAfter "status-503-retry-after" "503 with Retry-After: 30"
        Status429 "status-429" "429 with Retry-After: 60, whatever was counted"
        Status429Date "status-429-date" "429 with an HTTP date 90 seconds ahead as Retry-After"
        Status429NoHeader "status-429-no-header" "429 that does not say how long"
        Status429Absurd "status-429-absurd" "429 with Retry-After: 100000000000000000000"
        Status429Negative "status-429-negative" "429 with Retry-After: -5"
        Status401 "status-401" "401, though the key is good"
        Status403 "status-403" "403, though the key is good"
        Status404Html "status-404-html" "404 and a page, as if the endpoint were not there"
        Status413 "status-413" "413 in plain text, from the platform"
        Html200 "html-200" "200 and a captive portal's page"
        Html403 "html-403" "403 and a bot wall's page"
        Success200False "success-false-200" "200 with success:false"
        Unkept "unkept" "200 with success:true"
        RedirectForeign "redirect-foreign" "308 to another host"
        RedirectSame "redirect-same" "308 to the very same address"
        RedirectFile "redirect-file" "301 to file:///etc/passwd"
        Checkpoint403 "checkpoint-403" "403 and the hosting platform's Security Checkpoint page"
        Checkpoint429 "checkpoint-429" "429 and the hosting platform's Security Checkpoint page"
        DeploymentDisabled "deployment-disabled" "402 DEPLOYMENT_DISABLED from the hosting platform"
        DeploymentNotFound "deployment-not-found" "404 DEPLOYMENT_NOT_FOUND from the hosting platform"
        Status522 "status-522" "522 and the page of a proxy that cannot reach the marketplace"
        TokenWallet "token-wallet" "503 Agent wallet is unavailable, as a token launch can answer"
        TokenAvatar "token-avatar" "502 Failed to download agent avatar, as a token launch can answer"
        TokenAccount "token-account" "400 that asks for a linked X account, as a token launch can answer"
        DropBefore "drop-before" "the connection is closed without an answer"
    }
    after {
        Empty200 "empty-200" "the answer has no body"
        Null200 "null-200" "the answer is null"
        List200 "list-200" "the answer is []"
        NullData "null-data" "the answer's data is null"
        WrongTypes "wrong-types" "every member of the answer's data has another type"
        OddOrder "odd-order" "a list of orders has broken elements among the good ones"
        StrangeIds "strange-ids" "a list of orders has ones whose ids are paths, controls, emoji and 500 characters"
        DuplicateOrders "duplicate-orders" "a list of orders has each of them twice"
        Huge "huge" "a list of orders has ten thousand completed ones besides"
        HugeBody "huge-body" "the answer's body is 40 MB"
        ManyHeaders "many-headers" "the answer has 5,000 headers"
        DeepJson "deep-json" "the answer is 200,000 nested brackets"
        InvalidUtf8 "invalid-utf8" "the answer's texts are not UTF-8"
        CommitThen500 "commit-then-500" "the answer is a 500"
        CommitThen504 "commit-then-504" "a proxy's 504 comes without a body"
        CommitThenDrop "commit-then-drop" "the connection is closed without an answer"
        Truncate "truncate" "half the body comes under the full Content-Length"
        Drip "drip" "the answer arrives a byte at a time"
        ResetMidBody "reset-mid-body" "the connection is reset in the middle of the body"
        Garbage "garbage" "the answer is not HTTP"
        Slow "slow" "the answer arrives late"
    }
}

/// A fault that waits for its request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmedFault {
    /// The fault.
    pub fault: Fault,
    /// The call it fires at; none is any.
    pub call: Option<Call>,
    /// How many times it still fires; none is always.
    pub times: Option<u32>,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.name())
    }
}

impl FromStr for Fault {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.iter().copied().find(|fault| fault.name() == text);
        known.ok_or_else(|| format!("{text:?} is not a fault"))
    }
}

impl From<Fault> for String {
    fn from(fault: Fault) -> Self {
        fault.name().to_owned()
    }
}

impl TryFrom<String> for Fault {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}
