//! Hostile parameters, workspaces, environments and repositories.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::forge::Forge;
use super::{Shop, explains};

#[test]
fn parameters_that_git_could_take_for_something_else_are_refused_before_anything_is_touched() {
    let shop = Shop::new();
    shop.file("output/file", "stays");
    for (variables, wanted) in [
        (
            &[("PARAM_URL", "--upload-pack=touch evil")] as &[(&str, &str)],
            "url",
        ),
        (&[("PARAM_URL", "-u")], "url"),
        (&[("PARAM_URL", "ext::sh -c 'touch evil'")], "url"),
        (&[("PARAM_URL", "ext::touch")], "transport helper"),
        (&[("PARAM_URL", "fd::7")], "transport helper"),
        (&[("PARAM_URL", "file:///etc")], "file://"),
        (&[("PARAM_URL", "/etc")], "no URL"),
        (
            &[("PARAM_URL", "ssh://-oProxyCommand=touch%20evil/x")],
            "host",
        ),
        (&[("PARAM_URL", "-oProxyCommand=touch:x")], "dash"),
        (&[("PARAM_URL", "")], "missing"),
        (&[("PARAM_REVISION", "--output=evil")], "revision"),
        (&[("PARAM_REVISION", "main:refs/heads/x")], "revision"),
        (&[("PARAM_REFSPEC", "--upload-pack=touch main")], "refspec"),
        (&[("PARAM_DEPTH", "1 --upload-pack=x")], "depth"),
        (&[("PARAM_SUBDIRECTORY", "../results")], "subdirectory"),
        (&[("PARAM_SUBDIRECTORY", "/tmp")], "subdirectory"),
        (
            &[("PARAM_SUBMODULE_PATHS", "--recursive")],
            "submodulePaths",
        ),
        (&[("PARAM_SSL_VERIFY", "0")], "sslVerify"),
        (&[("WORKSPACE_OUTPUT_PATH", "")], "output is missing"),
        (&[("WORKSPACE_OUTPUT_PATH", "/")], "output"),
    ] {
        let mut run = shop.tool("https://git.invalid/x").folder(shop.path("tmp"));
        for (name, value) in variables {
            run = run.env(name, value);
        }
        explains(&run.run().fails_with(2), &[wanted], "");
        assert!(shop.results().is_empty() && shop.is_without_temporary_files());
        assert_eq!(shop.text("file").as_deref(), Some("stays"), "{variables:?}");
    }
}

#[test]
fn a_password_in_the_url_is_refused_and_a_user_name_left_out() {
    let forge = Forge::new();
    let server = forge.serve(None);
    let shop = Shop::new();
    let url = format!("http://git:s3cret@{}/app.git", server.address);
    let refused = shop.tool(&url).run().fails_with(2);
    explains(&refused, &["password"], "basic-auth");
    assert!(!refused.stderr.contains("s3cret"), "{refused:?}");
    shop.is_clean();

    let url = format!("http://ghp_s3cret@{}/app.git", server.address);
    let output = shop.tool(&url).run().ok();
    assert!(!output.stderr.contains("s3cret"), "{output:?}");
    let clean = format!("http://{}/app.git", server.address);
    assert_eq!(shop.results()["url"], clean);
    assert_eq!(shop.results()["CHAINS-GIT_URL"], clean);
    let config = shop.text(".git/config").expect("a repository");
    assert!(!config.contains("s3cret"), "{config}");
}

#[test]
fn links_in_the_workspace_lead_nowhere() {
    let forge = Forge::new();
    let server = forge.serve(None);
    let url = format!("http://{}/app.git", server.address);
    let shop = Shop::new();
    shop.file("outside/file", "precious");
    for (link, target) in [("link", shop.path("outside")), ("here", ".".into())] {
        std::os::unix::fs::symlink(target, shop.path("output").join(link)).expect("a link");
    }
    for subdirectory in ["link", "link/new", "here/link"] {
        let run = shop.tool(&url).env("PARAM_SUBDIRECTORY", subdirectory);
        let refused = run.run().fails_with(2);
        explains(&refused, &["a link or a file"], "another subdirectory");
    }
    assert_eq!(
        fs::read_dir(shop.path("outside")).expect("there").count(),
        1
    );
}

#[test]
fn no_hook_and_no_configuration_of_image_and_environment_counts() {
    let forge = Forge::new();
    let server = forge.serve(None);
    let shop = Shop::new();
    let mark = shop.path("evil");
    let script = format!("#!/bin/sh\ntouch {}\n", mark.display());
    for name in ["template/hooks/post-checkout", "hooks/post-checkout", "ssh"] {
        let file = shop.file(name, &script);
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).expect("executable");
    }
    let hooks = shop.path("hooks").display().to_string();
    let ssh = shop.path("ssh").display().to_string();
    let config = format!(
        "[core]\n\thooksPath = {hooks}\n\tfsmonitor = {ssh}\n\tsshCommand = {ssh}\n[init]\n\ttemplateDir = {}\n\
         [url \"http://127.0.0.1:1/\"]\n\tinsteadOf = http://\n",
        shop.path("template").display()
    );
    shop.file("home/.gitconfig", &config);
    shop.file("system", &config);
    // The step's own folder may be a repository of somebody's.
    shop.file("cwd/.git/config", &config);
    shop.file("cwd/.git/HEAD", "ref: refs/heads/main\n");
    for name in ["cwd/.git/objects", "cwd/.git/refs"] {
        fs::create_dir_all(shop.path(name)).expect("a folder");
    }
    let _ = shop
        .tool(&format!("http://{}/app.git", server.address))
        .folder(shop.path("cwd"))
        .env("GIT_CONFIG_SYSTEM", shop.path("system"))
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "core.hooksPath")
        .env("GIT_CONFIG_VALUE_0", &hooks)
        .env("GIT_CONFIG_PARAMETERS", format!("'core.hooksPath={hooks}'"))
        .env("GIT_TEMPLATE_DIR", shop.path("template"))
        .env("GIT_SSH_COMMAND", &ssh)
        .env("GIT_PROXY_COMMAND", &ssh)
        .env("GIT_ASKPASS", &ssh)
        .env("GIT_EXTERNAL_DIFF", &ssh)
        .env("GIT_DIR", shop.path("cwd/.git"))
        .env("GIT_WORK_TREE", shop.path("home"))
        .env("GIT_ALLOW_PROTOCOL", "ext")
        .env("GIT_TRACE", shop.path("trace"))
        .run()
        .ok();
    assert_eq!(shop.text("page.html").as_deref(), Some("three\n"));
    assert!(!mark.exists(), "something of the environment was run");
    assert!(!shop.path("trace").exists());
}

#[test]
fn submodules_of_other_protocols_are_refused() {
    let forge = Forge::new();
    let server = forge.serve(None);
    let local = format!("file://{}", forge.path("app.git").display());
    let path = forge.path("app.git").display().to_string();
    for (at, url) in [&local, &path, "ext::sh -c 'touch evil'", "fd::7"]
        .iter()
        .enumerate()
    {
        let name = format!("evil{at}");
        let work = forge.work(&name);
        work.file("file", "x").commit("one");
        work.submodule("sub", url, &forge.commit("main"));
        work.publish();
        let shop = Shop::new();
        let url = format!("http://{}/{name}.git", server.address);
        let refused = shop.tool(&url).run().fails_with(2);
        explains(
            &refused,
            &["fetching submodules", "not allowed"],
            "submodules=false",
        );
        shop.is_clean();
        let _ = shop.tool(&url).env("PARAM_SUBMODULES", "false").run().ok();
        if at == 0 {
            let run = shop.tool(&url).arg("--insecure-file-protocol");
            let _ = run.run().ok();
            assert_eq!(shop.text("sub/page.html").as_deref(), Some("three\n"));
        }
    }
}

#[test]
fn a_file_url_is_for_those_who_ask_for_it() {
    let forge = Forge::new();
    let shop = Shop::new();
    let url = format!("file://{}", forge.path("app.git").display());
    let refused = shop.tool(&url).run().fails_with(2);
    explains(&refused, &["file://"], "--insecure-file-protocol");
    let run = shop.tool(&url).env("PARAM_INSECURE_FILE_PROTOCOL", "true");
    let _ = run.run().ok();
    assert_eq!(shop.results()["commit"], forge.commit("main"));
}

#[test]
fn a_repository_with_links_and_odd_names_stays_in_the_workspace() {
    let forge = Forge::new();
    let server = forge.serve(None);
    let work = forge.work("odd");
    std::os::unix::fs::symlink("/etc/passwd", work.path().join("link")).expect("a link");
    work.file("-x", "dash\n")
        .file("a b/ü", "odd\n")
        .file(".gitattributes", "* filter=evil\n");
    work.commit("one");
    // A submodule whose name leads out of .git/modules.
    let modules = "[submodule \"../../evil\"]\n\tpath = sub\n\turl = ./x\n";
    work.file(".gitmodules", modules).commit("two");
    work.publish();
    let shop = Shop::new();
    let url = format!("http://{}/odd.git", server.address);
    let _ = shop.tool(&url).run().ok();
    assert_eq!(shop.text("a b/ü").as_deref(), Some("odd\n"));
    let link = fs::symlink_metadata(shop.path("output/link")).expect("checked out");
    assert!(link.is_symlink());
    assert!(!shop.path("evil").exists() && !shop.path("output/evil").exists());
}

#[test]
fn without_git_or_a_place_for_results_nothing_is_touched() {
    let shop = Shop::new();
    shop.file("output/file", "stays");
    let run = shop.tool("https://git.invalid/x").env("PATH", "/nowhere");
    explains(
        &run.run().fails_with(2),
        &["starting git"],
        "image that has git",
    );
    let run = shop.tool("https://git.invalid/x");
    let run = run.env("TEKSEAL_RESULTS", shop.path("absent"));
    explains(&run.run().fails_with(2), &["results folder"], "--results");
    assert_eq!(shop.text("file").as_deref(), Some("stays"));
    let run = shop.tool("https://git.invalid/x");
    let run = run.env("WORKSPACE_OUTPUT_PATH", shop.path(""));
    let run = run.env("HOME", shop.path("home"));
    explains(
        &run.run().fails_with(2),
        &["holds the home folder"],
        "source alone",
    );
}
