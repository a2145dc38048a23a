//! The questions about who may call the agent, member by member of the API's JWT authorizer.

use super::{NONE, Questions, usage};
use crate::error::CliError;
use crate::model::authorizer::Authorizer;
use crate::model::jwt::{JwtDraft, Match, Member};

/// The answer that empties a list that is there.
const EMPTY: &str = "-";

/// What to know before the lists.
const WHO_IS_LET_IN: &str =
    "Name at least an audience, a client, a scope or a claim; commas separate several";

const KINDS: [&str; 2] = [
    "IAM: requests signed with AWS credentials",
    "JWT: tokens of an identity provider",
];

const MATCHES: [(&str, Match); 3] = [
    ("is one text", Match::Equals),
    ("is a list that has one text in it", Match::Contains),
    (
        "is a list that has one of several in it",
        Match::ContainsAny,
    ),
];

/// The lists that let callers in, and how they are asked for.
const LISTS: [(&str, Member); 3] = [
    ("Audiences", Member::Audience),
    ("Clients", Member::Clients),
    ("Scopes", Member::Scopes),
];

impl Questions<'_> {
    /// Asks for the authorizer: what `--authorizer-config` would say, none if it stays as it is.
    pub(super) fn authorizer(
        &mut self,
        before: Option<&Authorizer>,
    ) -> Result<Option<String>, CliError> {
        let was_jwt = matches!(before, Some(Authorizer::Jwt(_)));
        let kinds = KINDS.map(str::to_owned);
        let wants_jwt = self
            .asker
            .choose("Authorizer", &kinds, usize::from(was_jwt))?
            == 1;
        if !wants_jwt {
            return Ok(was_jwt.then(|| "iam".to_owned()));
        }
        let after = self.jwt(JwtDraft::new(before))?;
        Ok(match after {
            Authorizer::Jwt(json) if before != Some(&Authorizer::Jwt(json.clone())) => {
                Some(json.to_string())
            }
            Authorizer::Jwt(_) | Authorizer::Iam => None,
        })
    }

    fn jwt(&mut self, mut draft: JwtDraft) -> Result<Authorizer, CliError> {
        let enter = draft.text(Member::DiscoveryUrl);
        self.line("Discovery URL", enter.as_deref(), |text| {
            draft.set(Member::DiscoveryUrl, text).map_err(usage)
        })?;
        self.ctx.printer.status(WHO_IS_LET_IN);
        loop {
            for (label, member) in LISTS {
                self.list(label, member, &mut draft)?;
            }
            self.claims(&mut draft)?;
            match draft.finish() {
                Ok(authorizer) => return Ok(authorizer),
                Err(invalid) => self.asker.refuse(&usage(invalid)),
            }
        }
    }

    fn list(&mut self, label: &str, member: Member, draft: &mut JwtDraft) -> Result<(), CliError> {
        let before = draft.text(member);
        let (label, enter) = with_a_way_out(label, before);
        self.line(&label, Some(&enter), |text| {
            if text == EMPTY {
                draft.remove(member);
                return Ok(());
            }
            draft.set(member, text).map_err(usage)
        })?;
        Ok(())
    }

    /// Asks for claims until there are no more; new ones take the place of those that are there.
    fn claims(&mut self, draft: &mut JwtDraft) -> Result<(), CliError> {
        let before = draft.claims().join(", ");
        let (label, enter) = with_a_way_out("Custom claim", (!before.is_empty()).then_some(before));
        let check = |text: &str| {
            if text != EMPTY {
                JwtDraft::check_claim_name(text).map_err(usage)?;
            }
            Ok(text.to_owned())
        };
        let mut name = self.line(&label, Some(&enter), check)?;
        if name.is_some() {
            draft.remove_claims();
        }
        while let Some(claim) = name.filter(|it| it != EMPTY) {
            self.claim(&claim, draft)?;
            name = self.line("Another claim", Some(NONE), check)?;
        }
        Ok(())
    }

    fn claim(&mut self, name: &str, draft: &mut JwtDraft) -> Result<(), CliError> {
        let items = MATCHES.map(|(text, _)| text.to_owned());
        let index = self.asker.choose(&format!("`{name}`"), &items, 0)?;
        let (_, how) = MATCHES[index];
        let label = match how {
            Match::Equals | Match::Contains => "Text",
            Match::ContainsAny => "Texts",
        };
        self.line(label, None, |text| {
            draft.add_claim(name, how, text).map_err(usage)
        })?;
        Ok(())
    }
}

/// The question and its default for a list that may hold something already, which Enter keeps.
fn with_a_way_out(label: &str, before: Option<String>) -> (String, String) {
    match before {
        Some(before) => (format!("{label} (`{EMPTY}` for none)"), before),
        None => (label.to_owned(), NONE.to_owned()),
    }
}
