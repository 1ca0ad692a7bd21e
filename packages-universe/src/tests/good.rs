//! Native packages that are as they should be.

use secrecy::ExposeSecret as _;
use serde_json::json;

use super::{GOOD, asking, package, shown};
use crate::{RenderError, Request, Resolved, catalog, next, render};

fn request(options: serde_json::Value) -> Request<'static> {
    let wares = Resolved {
        sha256: "ab".repeat(32),
        home: "wares-1".into(),
        file: "wares-1.tgz".into(),
        extract: true,
    };
    Request { artifacts: [("wares".to_owned(), wares)].into(), ..asking(options) }
}

#[test]
fn a_group_gets_its_id_and_labels_on_every_app() {
    let package = package(&GOOD);
    let rendered = render(&package, &request(json!({}))).unwrap();
    assert!(rendered.is_group());
    assert_eq!(rendered.id, "/shop");
    insta::assert_snapshot!(shown(rendered.definition.clone()));
    assert_eq!(next(&package, &request(json!({})), &rendered), ["show /shop"]);
}

#[test]
fn the_catalogue_renders() {
    let catalog = catalog();
    let site = catalog.packages.iter().find(|package| package.name == "static-site").unwrap();
    let plain = render(site, &asking(json!({"site": {"page": "<p>\"quoted\" $(x)</p>"}}))).unwrap();
    insta::assert_snapshot!("static_site_page", shown(plain.definition));
    let options = json!({"service": {"name": "web/site"}, "site": {"archive": "artifact://sha256/ab", "format": "zip", "directory": "public"}});
    let archive = render(site, &asking(options)).unwrap();
    assert_eq!(archive.id, "/web/site");
    insta::assert_snapshot!("static_site_archive", shown(archive.definition));
}

#[test]
fn a_secret_leaves_a_reference_and_nothing_else() {
    let package = package(&GOOD);
    let options = json!({"service": {"word": "hunter2-secret", "name": "my/shop"}});
    let rendered = render(&package, &request(options)).unwrap();
    let [secret] = &rendered.secrets[..] else { panic!("{:?}", rendered.secrets) };
    assert_eq!((secret.pointer.as_str(), secret.name.as_str()), ("/service/word", "my/shop/service/word"));
    assert_eq!(secret.value.as_ref().unwrap().expose_secret(), "hunter2-secret");
    assert_eq!(rendered.definition["apps"][0]["secrets"]["word"]["source"], "my/shop/service/word");
    assert_eq!(rendered.user_options["service"]["word"], json!({"secret": "my/shop/service/word"}));
    let label = rendered.definition["apps"][0]["labels"]["DCOS_PACKAGE_OPTIONS"].as_str().unwrap();
    use base64::Engine as _;
    let label = String::from_utf8(base64::engine::general_purpose::STANDARD.decode(label).unwrap()).unwrap();
    for text in [format!("{rendered:?}"), label] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    // What was stored comes back as a reference, and stays one.
    let again = render(&package, &request(rendered.user_options.clone())).unwrap();
    assert!(again.secrets[0].value.is_none());
    assert_eq!(again.definition, rendered.definition);
}

#[test]
fn a_secret_is_in_no_error() {
    let package = package(&GOOD);
    for options in [
        json!({"service": {"word": "x!"}}),
        json!({"service": {"word": ["hunter2"]}}),
        json!({"service": {"word": {"secret": "a", "hunter2": 1}}}),
    ] {
        let error = render(&package, &request(options)).unwrap_err();
        let text = format!("{error:?} {error}");
        assert!(!text.contains("hunter2") && !text.contains("x!"), "{text}");
        assert!(text.contains("/service/word"), "{text}");
    }
}

#[test]
fn what_does_not_allow_a_rendering_is_said() {
    let shop = package(&GOOD);
    assert!(
        matches!(render(&shop, &asking(json!({}))), Err(RenderError::Artifacts(names)) if names == ["wares"])
    );
    for id in ["", "/", "a//b", "../x", "A", "a b", "-a"] {
        let request = Request { id: Some(id.to_owned()), ..request(json!({})) };
        assert!(matches!(render(&shop, &request), Err(RenderError::Id(_))), "{id}");
    }
    let request = Request { id: Some("/other/place".to_owned()), ..request(json!({})) };
    let rendered = render(&shop, &request).unwrap();
    assert_eq!(rendered.definition["id"], "/other/place");
    assert_eq!(rendered.definition["apps"][0]["labels"]["CLUSTERCTL_PACKAGE_ID"], "/other/place");
}
