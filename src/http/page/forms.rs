//! Forms that a page sends, and where it goes afterwards.

use http::header::{HeaderValue, LOCATION};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::http::App;
use crate::http::answer::{self, Answer};
use crate::http::visitor::{Guest, Visitor};
use crate::model::{Refusal, RefusalKind};

type Result<T> = std::result::Result<T, Refusal>;

/// The fields of a form.
pub(super) struct Form(Vec<(String, Zeroizing<String>)>);

impl Form {
    async fn read(app: &App, request: Request<Incoming>) -> Result<Self> {
        let body = app.body(request).await?;
        let fields = url::form_urlencoded::parse(&body).into_owned();
        Ok(Self(
            fields.map(|(name, value)| (name, Zeroizing::new(value))).collect(),
        ))
    }

    /// The value of a field; empty if there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// Whether the form is one of this session.
    fn is_of(&self, guest: &Guest) -> bool {
        let own = guest.signed.form_token.as_bytes();
        self.get("token").as_bytes().ct_eq(own).into()
    }
}

/// 303: the browser goes on by GET.
pub(super) fn redirect(to: &str) -> Answer {
    let mut answer = answer::with_type(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", "");
    if let Ok(to) = HeaderValue::from_str(to) {
        answer.headers_mut().insert(LOCATION, to);
    }
    answer
}

impl App {
    /// A form that a page sends.
    pub async fn page_post(&self, parts: &[&str], request: Request<Incoming>, visitor: &Visitor) -> Result<Answer> {
        if *parts == ["login"] {
            let form = Form::read(self, request).await?;
            return self.log_in(&form, visitor).await;
        }
        let Visitor::User(guest) = visitor else {
            return Err(Refusal::new(RefusalKind::Forbidden, visitor.limits()));
        };
        let form = Form::read(self, request).await?;
        if !form.is_of(guest) {
            let refusal = Refusal::new(
                RefusalKind::Forbidden,
                "this form is not of this session, or is from before it",
            );
            return Err(refusal.hint("go back, load the page again, and send it once more"));
        }
        match *parts {
            ["logout"] => self.log_out(guest).await,
            _ => self.act(parts, &form, visitor).await,
        }
    }
}
