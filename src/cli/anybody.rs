//! What to say of a server on which anybody can take any name.
//!
//! Pure: what is asked for in, words out.

use super::call_args::AnswerArgs;
use crate::media::source::VideoSourceSpec;

/// The warnings for a server whose names have no tokens.
#[must_use]
pub fn warnings(answer: &AnswerArgs, video: &VideoSourceSpec) -> Vec<String> {
    let mut warnings = Vec::new();
    // Who names a key lets in nobody else.
    let by_name = answer.allow.iter().filter(|allowed| allowed.key.is_none());
    let names: Vec<_> = by_name.map(|allowed| format!("'{}'", allowed.name)).collect();
    if !names.is_empty() {
        let names = names.join(" or ");
        warnings.push(format!(
            "names on this server have no tokens, so anybody can log in as {names}, and --allow lets \
             them in; --allow NAME@KEY asks for a key, and 'peer serve --users' gives names tokens"
        ));
    }
    if answer.auto_answer && matches!(video, VideoSourceSpec::Auto | VideoSourceSpec::Camera(_)) {
        warnings.push(
            "names on this server have no tokens, so anybody can call under any name, is answered, \
             and sees the camera"
                .to_owned(),
        );
    }
    warnings
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn said(auto_answer: bool, allow: &[&str], video: &VideoSourceSpec) -> Vec<String> {
        let allow = allow.iter().map(|name| name.parse().unwrap()).collect();
        warnings(&AnswerArgs { auto_answer, allow }, video)
    }

    #[test]
    fn each_is_one_line_and_only_where_it_matters() {
        assert!(said(false, &[], &VideoSourceSpec::Auto).is_empty());
        assert!(said(true, &[], &VideoSourceSpec::Test).is_empty());
        let key = "bob@7k2m-q9wd-xh4t-0bz8-nrc5";
        assert!(said(true, &[key], &VideoSourceSpec::Test).is_empty());
        let allow = said(true, &["bob", "carol"], &VideoSourceSpec::Test);
        assert!(
            allow.len() == 1 && allow[0].contains("anybody can log in as 'bob' or 'carol'"),
            "{allow:?}"
        );
        let camera = said(true, &[], &VideoSourceSpec::Camera(None));
        assert!(camera.len() == 1 && camera[0].contains("sees the camera"), "{camera:?}");
        let both = said(true, &["bob"], &VideoSourceSpec::Auto);
        assert!(both.len() == 2 && both.iter().all(|line| !line.contains('\n')), "{both:?}");
    }
}
