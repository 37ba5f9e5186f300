//! Pages in a real browser: headless Chromium, when one is installed.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The browser, if it is on the path.
pub fn chromium() -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome", "chrome"];
    let found =
        std::env::split_paths(&paths).flat_map(|folder| names.map(|name| folder.join(name)));
    found.into_iter().find(|path| path.is_file())
}

/// Runs the browser on `page` and returns its standard output and standard error.
pub fn browse(
    browser: &Path,
    profile: &Path,
    page: &Path,
    arguments: &[String],
) -> (String, String) {
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ])
        .args([
            "--hide-scrollbars",
            "--force-device-scale-factor=1",
            "--enable-logging=stderr",
        ])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(arguments)
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// What of a page is cut off, or has a scroll bar, in a window of that width: the first words of each. The page forbids
/// scripts, so that a copy that allows one is looked at.
pub fn too_wide(browser: &Path, folder: &Path, page: &Path, width: u32) -> Vec<String> {
    let script = "<script>const wide = [...document.querySelectorAll('.table')].filter(e => e.scrollWidth > e.clientWidth); \
                  const lines = wide.map(e => (e.closest('figure') || e).innerText.replace(/\\s+/g, ' ').slice(0, 120) + ': ' + e.scrollWidth \
                  + ' > ' + e.clientWidth); const root = document.documentElement; \
                  if (root.scrollWidth > root.clientWidth) lines.push('the page: ' + root.scrollWidth + ' > ' + root.clientWidth); \
                  document.body.innerHTML = '<pre>FOUND ' + lines.length + '\\n' + lines.join('\\n').replace(/</g, ' ') + '\\nEND</pre>';</script>";
    let html = std::fs::read_to_string(page).unwrap();
    let policy = html.find("<meta http-equiv=").unwrap();
    let end = policy + html[policy..].find('>').unwrap() + 1;
    let copy = folder.join("measured.html");
    let html = [&html[..policy], &html[end..]].concat();
    std::fs::write(&copy, html.replace("</body>", &format!("{script}</body>"))).unwrap();
    let arguments = [
        format!("--window-size={width},3000"),
        "--dump-dom".to_owned(),
    ];
    let (dom, log) = browse(browser, &folder.join("profile"), &copy, &arguments);
    std::fs::remove_file(copy).unwrap();
    assert!(dom.contains("FOUND "), "nothing was measured: {log}");
    let found = dom.split("FOUND ").nth(1).unwrap();
    let lines = found.split("\nEND").next().unwrap().lines().skip(1);
    lines
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(String::from)
        .collect()
}
