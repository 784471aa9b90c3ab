//! Where things that float are put, so that they stay on the screen. All in CSS px of the viewport.

use crate::events::SelectionRect;

/// Least distance from the screen's edge.
const EDGE: f64 = 12.0;
/// Distance from the text.
const GAP: f64 = 8.0;

/// Upper left corner of something floating.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Corner {
    /// From the left.
    pub left: f64,
    /// From the top.
    pub top: f64,
}

/// A size, of a box or of the screen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// Across.
    pub width: f64,
    /// Down.
    pub height: f64,
}

/// Below the selection when there is room, above it when there is not, and on the screen in any case.
#[must_use]
pub fn below(rect: SelectionRect, size: Size, screen: Size) -> Corner {
    let under = rect.bottom + GAP;
    let over = rect.top - GAP - size.height;
    let top = if under + size.height + EDGE <= screen.height || over < EDGE {
        under
    } else {
        over
    };
    on_screen(Corner { left: rect.left, top }, size, screen)
}

/// Above the selection when there is room, else below it.
#[must_use]
pub fn above(rect: SelectionRect, size: Size, ceiling: f64, screen: Size) -> Corner {
    let over = rect.top - GAP - size.height;
    let top = if over >= ceiling { over } else { rect.bottom + GAP };
    on_screen(Corner { left: rect.left, top }, size, screen)
}

/// In the middle, a little above it: where nothing is selected.
#[must_use]
pub fn middle(size: Size, screen: Size) -> Corner {
    let corner = Corner {
        left: (screen.width - size.width) / 2.0,
        top: (screen.height - size.height) * 0.4,
    };
    on_screen(corner, size, screen)
}

fn on_screen(corner: Corner, size: Size, screen: Size) -> Corner {
    let fit = |at: f64, extent: f64, room: f64| at.min(room - extent - EDGE).max(EDGE);
    Corner {
        left: fit(corner.left, size.width, screen.width),
        top: fit(corner.top, size.height, screen.height),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCREEN: Size = Size {
        width: 1000.0,
        height: 800.0,
    };
    const BAR: Size = Size {
        width: 500.0,
        height: 120.0,
    };

    fn line(top: f64, left: f64) -> SelectionRect {
        SelectionRect {
            top,
            left,
            bottom: top + 20.0,
        }
    }

    #[test]
    fn below_is_left_for_above_only_when_it_must_be() {
        assert_eq!(
            below(line(100.0, 50.0), BAR, SCREEN),
            Corner {
                left: 50.0,
                top: 128.0
            }
        );
        assert_eq!(
            below(line(760.0, 50.0), BAR, SCREEN),
            Corner {
                left: 50.0,
                top: 632.0
            }
        );
        assert_eq!(
            above(
                line(300.0, 50.0),
                Size {
                    width: 60.0,
                    height: 30.0
                },
                100.0,
                SCREEN
            )
            .top,
            262.0
        );
        assert_eq!(
            above(
                line(110.0, 50.0),
                Size {
                    width: 60.0,
                    height: 30.0
                },
                100.0,
                SCREEN
            )
            .top,
            138.0
        );
    }

    #[test]
    fn nothing_leaves_the_screen() {
        let small = Size {
            width: 320.0,
            height: 200.0,
        };
        for screen in [SCREEN, small] {
            for size in [
                BAR,
                Size {
                    width: 100.0,
                    height: 40.0,
                },
            ] {
                for (top, left) in [(-500.0, -50.0), (0.0, 0.0), (790.0, 990.0), (5000.0, 5000.0)] {
                    for corner in [
                        below(line(top, left), size, screen),
                        above(line(top, left), size, 0.0, screen),
                        middle(size, screen),
                    ] {
                        assert!(corner.left >= 12.0 && corner.top >= 12.0, "{corner:?}");
                        assert!(
                            corner.left + size.width <= screen.width.max(size.width + 12.0),
                            "{corner:?}"
                        );
                    }
                }
            }
        }
    }
}
