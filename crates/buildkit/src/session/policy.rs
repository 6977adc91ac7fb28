//! The client's policy of sources: asked before an image, a repository or an address is used.
//!
//! (sourcepolicy/policysession/policysession.proto, solver/pb/ops.proto, sourcepolicy/pb/policy.proto.)

use std::collections::BTreeMap;

use prost::{Message, Oneof};

use super::Session;
use crate::grpc::{Code, Status};
use crate::proto::Platform;

const CHECK: &str = "/moby.buildkit.v1.sourcepolicy.policysession.PolicyVerifier/CheckPolicy";
/// `PolicyAction`: allow, deny, convert.
const ALLOW: i32 = 0;
const DENY: i32 = 1;

#[derive(Clone, PartialEq, Eq, Message)]
struct SourceOp {
    #[prost(string, tag = "1")]
    identifier: String,
    #[prost(btree_map = "string, string", tag = "2")]
    attrs: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct SourceMeta {
    #[prost(message, optional, tag = "1")]
    source: Option<SourceOp>,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct CheckRequest {
    #[prost(message, optional, tag = "1")]
    platform: Option<Platform>,
    #[prost(message, optional, tag = "2")]
    source: Option<SourceMeta>,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct CheckResponse {
    #[prost(oneof = "Answer", tags = "1, 2")]
    answer: Option<Answer>,
}

#[derive(Clone, PartialEq, Eq, Oneof)]
enum Answer {
    #[prost(message, tag = "1")]
    Decision(Decision),
    /// It wants to know more about the source.
    #[prost(message, tag = "2")]
    More(SourceMeta),
}

#[derive(Clone, PartialEq, Eq, Message)]
struct Decision {
    #[prost(int32, tag = "1")]
    action: i32,
    #[prost(message, repeated, tag = "2")]
    denied: Vec<DenyMessage>,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct DenyMessage {
    #[prost(string, tag = "1")]
    message: String,
}

impl Session {
    /// Asks whether a source may be used: `docker-image://…`, `git://…`, `https://…`, `local://…`.
    ///
    /// # Errors
    /// [`Code::PermissionDenied`] with the policy's sentences; [`Code::Unimplemented`] for a policy that replaces
    /// sources or wants to see what this engine cannot show it.
    pub async fn allows(&self, identifier: &str, platform: &berth_spec::platform::Platform) -> Result<(), Status> {
        self.needs(CHECK)?;
        let source = SourceOp { identifier: identifier.to_owned(), attrs: BTreeMap::new() };
        let request = CheckRequest {
            platform: Some(Platform {
                architecture: platform.architecture.clone(),
                os: platform.os.clone(),
                variant: platform.variant.clone().unwrap_or_default(),
            }),
            source: Some(SourceMeta { source: Some(source) }),
        };
        let response: CheckResponse = self.channel.unary(CHECK, &Vec::new(), &request).await?;
        match response.answer {
            Some(Answer::Decision(decision)) if decision.action == ALLOW => Ok(()),
            Some(Answer::Decision(decision)) if decision.action == DENY => {
                let why: Vec<String> = decision.denied.into_iter().map(|denied| denied.message).collect();
                let message = format!("source {identifier:?} not allowed by policy: {}", why.join("; "));
                Err(Status::new(Code::PermissionDenied, message.trim_end_matches(": ").to_owned()))
            }
            Some(Answer::Decision(_)) => {
                Err(Status::new(Code::Unimplemented, format!("a policy that replaces {identifier:?} is not there")))
            }
            Some(Answer::More(_)) | None => {
                let message = format!("a policy that looks into {identifier:?} is not there");
                Err(Status::new(Code::Unimplemented, message))
            }
        }
    }
}
