//! The execution providers of ONNX Runtime that can be asked for, in one table: what each is called, where it exists, which
//! feature of this crate has it, and how it is asked for.
//!
//! Not in the table, though `ort` names them: ROCm, TVM, Arm NN and Rockchip's, which no ONNX Runtime of 1.24 or later has
//! any more (MIGraphX follows ROCm); NNAPI and VSI's, which are for other devices than desks have; Azure's, which asks a
//! service (that is [`remote`](crate::remote)).
use std::fmt;
use std::str::FromStr;

use ort::ep;
use ort::memory::AllocationDevice;
use serde::{Deserialize, Serialize};

/// Where a provider computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On a card or another device that waits for the weights either way, so that more tokens in a run cost little.
    Card,
    /// On the processor.
    Processor,
}

/// Makes the enum and all that is asked of the table. A row: the variant (the feature of this crate and the word in
/// settings; what people call it; what ONNX Runtime calls it; `ort`'s type; where it computes; the memory where keys and
/// values lie beside its nodes, if that is not main memory; the system that alone has it, if there is one).
macro_rules! providers {
    ($($(#[doc = $doc:literal])+
    $variant:ident($word:tt, $name:tt, $runtime:tt, $ep:ident, $place:ident, $memory:expr, $system:expr);)+) => {
        /// An execution provider of ONNX Runtime, or another program.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Provider {
            $($(#[doc = $doc])+ #[serde(rename = $word)] $variant,)+
            /// The processor. Always there, and always asked last.
            #[serde(rename = "cpu")]
            Cpu,
            /// Another program, on this machine or another, behind an OpenAI-compatible endpoint. Never asked for by a local
            /// engine.
            #[serde(rename = "remote")]
            Remote,
        }

        impl Provider {
            /// All that can be asked for, the CPU last.
            pub const ALL: &[Self] = &[$(Self::$variant,)+ Self::Cpu];

            /// Its word in settings: `cuda`.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                    Self::Cpu => "cpu",
                    Self::Remote => "remote",
                }
            }

            /// What people call it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                    Self::Cpu => "CPU",
                    Self::Remote => "remote",
                }
            }

            /// What ONNX Runtime calls it.
            #[must_use]
            pub const fn runtime_name(self) -> &'static str {
                match self {
                    $(Self::$variant => $runtime,)+
                    Self::Cpu => "CPUExecutionProvider",
                    Self::Remote => "none of ONNX Runtime's",
                }
            }

            /// Where it computes; another program is taken for a card.
            #[must_use]
            pub const fn place(self) -> Place {
                match self {
                    $(Self::$variant => Place::$place,)+
                    Self::Cpu => Place::Processor,
                    Self::Remote => Place::Card,
                }
            }

            /// Whether this build can ask for it.
            #[must_use]
            pub const fn is_built(self) -> bool {
                match self {
                    $(Self::$variant => cfg!(feature = $word),)+
                    Self::Cpu | Self::Remote => true,
                }
            }

            /// The memory of keys and values beside its nodes; `None` is main memory.
            pub(crate) const fn memory(self) -> Option<AllocationDevice<'static>> {
                match self {
                    $(Self::$variant => $memory,)+
                    Self::Cpu | Self::Remote => None,
                }
            }

            /// The one system that has it, as `std::env::consts::OS` and as people call it; `None` where there are several.
            const fn only_system(self) -> Option<(&'static str, &'static str)> {
                match self {
                    $(Self::$variant => $system,)+
                    Self::Cpu | Self::Remote => None,
                }
            }

            /// What `ort` asks for it with.
            ///
            /// # Errors
            /// Why it cannot be asked for on this system or by this build, in words.
            pub(crate) fn dispatch(self) -> Result<ep::ExecutionProviderDispatch, String> {
                if let Some((system, called)) = self.only_system()
                    && system != std::env::consts::OS
                {
                    return Err(format!("only {called} has {self}, and this is {}", std::env::consts::OS));
                }
                match self {
                    $(Self::$variant => {
                        #[cfg(feature = $word)]
                        {
                            Ok(ep::$ep::default().build())
                        }
                        #[cfg(not(feature = $word))]
                        {
                            Err(format!(
                                concat!("this build of Inkling has no {}: build it with `--features model/", $word, "`"),
                                self
                            ))
                        }
                    })+
                    Self::Cpu | Self::Remote => Err("it is not asked for".to_owned()),
                }
            }
        }
    };
}

providers! {
    /// An NVIDIA card through CUDA.
    Cuda("cuda", "CUDA", "CUDAExecutionProvider", CUDA, Card, Some(AllocationDevice::CUDA), None);
    /// An NVIDIA card through TensorRT, which compiles the graph for it first.
    TensorRt("tensorrt", "TensorRT", "TensorrtExecutionProvider", TensorRT, Card, Some(AllocationDevice::CUDA), None);
    /// An NVIDIA card through TensorRT for RTX.
    NvRtx("nvrtx", "TensorRT RTX", "NvTensorRTRTXExecutionProvider", NVRTX, Card, Some(AllocationDevice::CUDA), None);
    /// An AMD card through MIGraphX.
    MiGraphX("migraphx", "MIGraphX", "MIGraphXExecutionProvider", MIGraphX, Card, None, None);
    /// Any DirectX 12 card, on Windows.
    DirectMl("directml", "DirectML", "DmlExecutionProvider", DirectML, Card, Some(AllocationDevice::DIRECTML), Some(("windows", "Windows")));
    /// Apple's neural engine and graphics, on macOS.
    CoreMl("coreml", "Core ML", "CoreMLExecutionProvider", CoreML, Card, None, Some(("macos", "macOS")));
    /// Intel's processors, graphics and neural units, through OpenVINO; its own default is the processor.
    OpenVino("openvino", "OpenVINO", "OpenVINOExecutionProvider", OpenVINO, Processor, None, None);
    /// Intel's and other processors through oneDNN.
    OneDnn("onednn", "oneDNN", "DnnlExecutionProvider", OneDNN, Processor, None, None);
    /// Qualcomm's neural units.
    Qnn("qnn", "QNN", "QNNExecutionProvider", QNN, Card, None, None);
    /// AMD's neural units.
    Vitis("vitis", "Vitis AI", "VitisAIExecutionProvider", Vitis, Card, None, None);
    /// Huawei's Ascend cards.
    Cann("cann", "CANN", "CANNExecutionProvider", CANN, Card, Some(AllocationDevice::CANN), None);
    /// ARM processors through Arm's Compute Library.
    Acl("acl", "Arm Compute Library", "ACLExecutionProvider", ACL, Processor, None, None);
    /// Any card that the system's WebGPU (Vulkan, Metal, DirectX 12) knows.
    WebGpu("webgpu", "WebGPU", "WebGpuExecutionProvider", WebGPU, Card, None, None);
    /// The processor through XNNPACK.
    Xnnpack("xnnpack", "XNNPACK", "XnnpackExecutionProvider", XNNPACK, Processor, None, None);
}

impl Provider {
    /// The order in which a fresh installation asks.
    pub const PREFERRED: [Self; 3] = [Self::Cuda, Self::DirectMl, Self::Cpu];

    /// Whether it needs NVIDIA's libraries.
    #[cfg(feature = "cuda")]
    pub(crate) const fn is_nvidia(self) -> bool {
        matches!(self, Self::Cuda | Self::TensorRt | Self::NvRtx)
    }

    /// The one that ONNX Runtime calls so.
    #[must_use]
    pub fn of_runtime(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|provider| provider.runtime_name() == name)
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that names no provider. The words are for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is none of: {}", Provider::ALL.iter().map(|provider| provider.word()).collect::<Vec<_>>().join(", "))]
pub struct UnknownProvider {
    /// What was given.
    pub word: String,
}

/// From its word in settings, in capitals or not; whether this build can ask for it is told when it is asked for.
impl FromStr for Provider {
    type Err = UnknownProvider;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|provider| provider.word().eq_ignore_ascii_case(word))
            .ok_or_else(|| UnknownProvider {
                word: word.to_owned(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_provider_has_words_of_its_own() {
        for (index, provider) in Provider::ALL.iter().enumerate() {
            assert_eq!(provider.word().to_uppercase().parse(), Ok(*provider));
            assert_eq!(Provider::of_runtime(provider.runtime_name()), Some(*provider));
            let json = serde_json::to_string(provider).unwrap();
            assert_eq!(json, format!("\"{}\"", provider.word()));
            for other in &Provider::ALL[..index] {
                assert_ne!(provider.name(), other.name());
            }
        }
        assert_eq!(Provider::ALL.last(), Some(&Provider::Cpu));
        let words = "tpu".parse::<Provider>().unwrap_err().to_string();
        assert!(
            words.starts_with("`tpu` is none of: cuda, ") && words.ends_with(", xnnpack, cpu"),
            "{words}"
        );
        assert!(
            "remote".parse::<Provider>().is_err(),
            "it is no device of this machine"
        );
    }

    #[test]
    fn what_this_build_or_system_has_not_is_said_with_what_to_do() {
        for provider in Provider::ALL
            .iter()
            .filter(|provider| **provider != Provider::Cpu)
        {
            let here = provider
                .only_system()
                .is_none_or(|(system, _)| system == std::env::consts::OS);
            match provider.dispatch() {
                Ok(dispatch) => {
                    assert!(here && provider.is_built(), "{provider}");
                    assert_eq!(dispatch.name(), provider.runtime_name());
                }
                Err(words) if !here => assert!(words.starts_with("only "), "{words}"),
                Err(words) => {
                    assert!(!provider.is_built());
                    let flag = format!("--features model/{}`", provider.word());
                    assert!(
                        words.contains(provider.name()) && words.ends_with(&flag),
                        "{words}"
                    );
                }
            }
        }
    }
}
