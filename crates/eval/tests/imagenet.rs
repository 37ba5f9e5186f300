//! The feature extractor on real photographs: the 20 labelled ImageNet files in PyPI `foolbox` 3.3.4.
//!
//! They are not part of this repository. Either `pip install --no-deps foolbox==3.3.4` into the `python3`
//! that is found first, or name the folder that holds `imagenet_NN_LABEL.jpg` in
//! `LEARNGENE_FOOLBOX_IMAGES`; otherwise the test says that it is skipped.

use std::path::PathBuf;
use std::process::Command;

use learngene_eval::{ImageView, Lite0};

fn folder() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("LEARNGENE_FOOLBOX_IMAGES") {
        return Some(folder.into());
    }
    let script =
        "import importlib.util as u; print(u.find_spec('foolbox').submodule_search_locations[0])";
    let output = Command::new("python3").args(["-c", script]).output().ok()?;
    let package = String::from_utf8(output.stdout).ok()?;
    output
        .status
        .success()
        .then(|| PathBuf::from(package.trim()).join("data"))
}

#[test]
fn at_least_17_of_20_photographs_are_recognised() {
    let Some(folder) = folder() else {
        println!("skipped: foolbox 3.3.4 is not installed and LEARNGENE_FOOLBOX_IMAGES is not set");
        return;
    };
    let mut photographs = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if let Some((_, label)) = name
            .strip_prefix("imagenet_")
            .and_then(|rest| rest.split_once('_'))
        {
            photographs.push((
                label.parse::<usize>().unwrap(),
                image::open(&path).unwrap().to_rgb8(),
            ));
        }
    }
    assert_eq!(photographs.len(), 20, "in {}", folder.display());
    let views: Vec<_> = photographs
        .iter()
        .map(|(_, photograph)| ImageView {
            width: photograph.width() as usize,
            height: photograph.height() as usize,
            channels: 3,
            pixels: photograph.as_raw(),
        })
        .collect();
    let lite0 = Lite0::load().unwrap();
    let features = lite0.features(&views, Lite0::INPUT, |_, _| ()).unwrap();
    let answers = lite0.logits(&features).unwrap().argmax();
    let right = answers
        .iter()
        .zip(&photographs)
        .filter(|(answer, (label, _))| *answer == label)
        .count();
    println!("{right} of 20 right");
    assert!(right >= 17, "{right} of 20");
}
