//! The line to an object store: HTTP, with bounds on what comes over it.

use std::future::Future;
use std::pin::Pin;

use http_body_util::{BodyExt as _, Limited};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
    ReqwestConnector,
};

use crate::archive::BLOCK_SIZE;

/// How many bytes an answer may have: a block, or a page of names, or an error's text.
const LONGEST_ANSWER: usize = 2 * BLOCK_SIZE;

/// Connects as `object_store` does, and reads no answer beyond [`LONGEST_ANSWER`]: the crate itself reads whatever a
/// server sends as an error's text.
#[derive(Debug, Default)]
pub(super) struct Connector(ReqwestConnector);

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Bounded(self.0.connect(options)?)))
    }
}

/// A server that could not answer now: its status.
#[derive(Debug, thiserror::Error)]
#[error("the server answered {0}")]
struct NotNow(u16);

#[derive(Debug)]
struct Bounded(HttpClient);

impl Bounded {
    async fn ask(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = self.0.execute(request).await?.into_parts();
        let status = parts.status.as_u16();
        // "Not implemented" stays so. The others may pass, and what HTTP says of itself is the one form in which the
        // crate lets that be seen from outside.
        if matches!(status, 408 | 429 | 500 | 502..) {
            return Err(HttpError::new(HttpErrorKind::Request, NotNow(status)));
        }
        let body = Limited::new(body, LONGEST_ANSWER).map_err(|error| match error.downcast::<HttpError>() {
            Ok(error) => *error,
            Err(error) => HttpError::new_boxed(HttpErrorKind::Decode, error),
        });
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
    }
}

impl HttpService for Bounded {
    // As the crate's trait has it, which is made by a macro that is not needed for this one place.
    fn call<'life, 'future>(
        &'life self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'future>>
    where
        'life: 'future,
        Self: 'future,
    {
        Box::pin(self.ask(request))
    }
}
