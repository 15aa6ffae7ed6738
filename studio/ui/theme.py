"""Light, dark and high contrast: palettes on Fusion, one style sheet, tinted icons, one font."""

from __future__ import annotations

from dataclasses import dataclass, fields
from importlib.resources import files
from string import Template

from PySide6.QtCore import QByteArray, QObject, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontDatabase, QIcon, QPainter, QPalette, QPixmap
from PySide6.QtWidgets import QApplication

from studio.settings import Theme as ThemeName

BASE_POINTS = 10.5
ICON_SIZES = (16, 24, 32, 48, 96)  # the last ones for larger text and finer screens
SCALES = (100, 110, 125, 150, 175, 200)


@dataclass(frozen=True, slots=True)
class Colours:
    """Every colour of the window as #rrggbb. Text colours reach 4.5:1 on `window`, `surface` and `raised`.

    Colour is never alone: ratings also have a sign, a face and a shape.
    """

    window: str  # behind everything
    surface: str  # cards, lists
    raised: str  # heads of cards, hovered rows
    border: str
    text: str
    secondary: str  # captions
    faint: str  # look-ahead text: grey, still readable
    accent: str
    on_accent: str
    accent_soft: str  # the current row
    negative: str
    neutral: str
    positive: str
    unsure: str
    negative_soft: str
    neutral_soft: str
    positive_soft: str
    on_rating: str  # drawn on a filled face
    hatch: str  # scores outside the scorer's domain
    focus: str

    def q(self, name: str) -> QColor:
        """A colour of this table as Qt wants it."""
        return QColor(str(getattr(self, name)))

    def rating(self, value: int) -> QColor:
        """The colour of a rating: -1, 0 or 1."""
        return self.q({-1: "negative", 0: "neutral", 1: "positive"}[value])

    def rating_soft(self, value: int) -> QColor:
        """The background of a row with this rating."""
        return self.q({-1: "negative_soft", 0: "neutral_soft", 1: "positive_soft"}[value])


LIGHT = Colours(
    window="#f4f5f8",
    surface="#ffffff",
    raised="#f8f9fb",
    border="#dfe3ea",
    text="#1a1e26",
    secondary="#56606f",
    faint="#636c7a",
    accent="#3056c8",
    on_accent="#ffffff",
    accent_soft="#ecf1fe",
    negative="#b8302a",
    neutral="#5d6778",
    positive="#16744a",
    unsure="#875800",
    negative_soft="#fcefee",
    neutral_soft="#f1f3f6",
    positive_soft="#ebf6f0",
    on_rating="#ffffff",
    hatch="#9aa3b2",
    focus="#3056c8",
)
DARK = Colours(
    window="#14161b",
    surface="#1c1f26",
    raised="#232730",
    border="#323845",
    text="#e8eaf0",
    secondary="#a3acbb",
    faint="#8f98a8",
    accent="#8db0ff",
    on_accent="#101626",
    accent_soft="#232c42",
    negative="#ff8d84",
    neutral="#b0b8c6",
    positive="#5fce93",
    unsure="#efbd62",
    negative_soft="#35211f",
    neutral_soft="#272b34",
    positive_soft="#1b2f26",
    on_rating="#14161b",
    hatch="#5d6676",
    focus="#8db0ff",
)
CONTRAST = Colours(
    window="#000000",
    surface="#000000",
    raised="#141414",
    border="#8a8a8a",
    text="#ffffff",
    secondary="#f0f0f0",
    faint="#d0d0d0",
    accent="#ffe04a",
    on_accent="#000000",
    accent_soft="#2a2600",
    negative="#ff9c96",
    neutral="#e6e6e6",
    positive="#6dffab",
    unsure="#ffd27a",
    negative_soft="#330000",
    neutral_soft="#202020",
    positive_soft="#002a14",
    on_rating="#000000",
    hatch="#ffffff",
    focus="#ffe04a",
)


class Theme(QObject):
    """The look of the running application.

    Signals:
        switched(): colours or sizes are others now; whoever paints takes `colours` anew.
    """

    switched = Signal()

    def __init__(self, app: QApplication, name: str = ThemeName.SYSTEM, scale: int = 100) -> None:
        super().__init__(app)
        self._app = app
        self._icons: dict[tuple[str, str], QIcon] = {}
        self.name = ThemeName(name)
        self.scale = scale
        self.colours = LIGHT
        app.setStyle("Fusion")
        app.styleHints().colorSchemeChanged.connect(self._on_system_changed)
        self.family = _load_font()
        self._apply()

    def use(self, name: str) -> None:
        """Switch the theme at once."""
        self.name = ThemeName(name)
        self._apply()
        self.switched.emit()

    def zoom(self, scale: int) -> None:
        """Set the size of all text, in per cent (100 to 200)."""
        self.scale = min(max(scale, SCALES[0]), SCALES[-1])
        self._apply()
        self.switched.emit()

    @property
    def is_dark(self) -> bool:
        """Whether text is lighter than its ground."""
        return self.colours is not LIGHT

    def px(self, length: float) -> int:
        """A length of the 100 % layout in the present scale."""
        return round(length * self.scale / 100)

    def font(self, points: float = BASE_POINTS, weight: QFont.Weight = QFont.Weight.Normal) -> QFont:
        """The interface font at a size of the 100 % layout."""
        font = QFont(self.family)
        font.setPointSizeF(points * self.scale / 100)
        font.setWeight(weight)
        return font

    def icon(self, name: str, colour: str = "") -> QIcon:
        """An icon of resources/icons in a colour of the theme (a field name of Colours, else the text colour)."""
        normal = getattr(self.colours, colour) if colour else self.colours.text
        key = (name, normal)
        if key not in self._icons:
            source = files("resources").joinpath("icons", f"{name}.svg").read_text(encoding="utf-8")
            icon = QIcon()
            for mode, tint in (
                (QIcon.Mode.Normal, normal),
                (QIcon.Mode.Disabled, _mix(normal, self.colours.window, 0.55)),
            ):
                for picture in _paint(source, tint):
                    icon.addPixmap(picture, mode)
            self._icons[key] = icon
        return self._icons[key]

    def _on_system_changed(self) -> None:
        if self.name is ThemeName.SYSTEM:
            self._apply()
            self.switched.emit()

    def _apply(self) -> None:
        self.colours = self._chosen()
        self._app.setFont(self.font())
        self._app.setPalette(_palette(self.colours))
        self._app.setStyleSheet(_style_sheet(self.colours, self))

    def _chosen(self) -> Colours:
        dark = self._app.styleHints().colorScheme() == Qt.ColorScheme.Dark
        return {
            ThemeName.SYSTEM: DARK if dark else LIGHT,
            ThemeName.LIGHT: LIGHT,
            ThemeName.DARK: DARK,
            ThemeName.HIGH_CONTRAST: CONTRAST,
        }[self.name]


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two colours (WCAG 2.2, relative luminance)."""
    light, dark = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    q = QColor(colour)
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (q.redF(), q.greenF(), q.blueF())]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _load_font() -> str:
    data = files("resources").joinpath("fonts", "Inter.ttf").read_bytes()
    number = QFontDatabase.addApplicationFontFromData(QByteArray(data))
    families = QFontDatabase.applicationFontFamilies(number) if number >= 0 else []
    return families[0] if families else QApplication.font().family()


def _paint(source: str, colour: str) -> tuple[QPixmap, ...]:
    from PySide6.QtSvg import QSvgRenderer

    renderer = QSvgRenderer(QByteArray(source.replace("currentColor", colour).encode()))
    pictures = []
    for size in ICON_SIZES:
        pixmap = QPixmap(size, size)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        renderer.render(painter, QRectF(0, 0, size, size))
        painter.end()
        pictures.append(pixmap)
    return tuple(pictures)


def _mix(first: str, second: str, share: float) -> str:
    a, b = QColor(first), QColor(second)
    keep = 1 - share
    return QColor(
        round(a.red() * keep + b.red() * share),
        round(a.green() * keep + b.green() * share),
        round(a.blue() * keep + b.blue() * share),
    ).name()


def _palette(c: Colours) -> QPalette:
    role = QPalette.ColorRole
    palette = QPalette()
    for which, name in {
        role.Window: "window",
        role.WindowText: "text",
        role.Base: "surface",
        role.AlternateBase: "raised",
        role.ToolTipBase: "raised",
        role.ToolTipText: "text",
        role.PlaceholderText: "secondary",
        role.Text: "text",
        role.Button: "surface",
        role.ButtonText: "text",
        role.BrightText: "negative",
        role.Highlight: "accent",
        role.HighlightedText: "on_accent",
        role.Link: "accent",
        role.LinkVisited: "accent",
        role.Accent: "accent",
        role.Mid: "border",
    }.items():
        palette.setColor(which, c.q(name))
    for which in (role.WindowText, role.Text, role.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, which, QColor(_mix(c.text, c.window, 0.5)))
    return palette


def _style_sheet(c: Colours, theme: Theme) -> str:
    values = {f.name: str(getattr(c, f.name)) for f in fields(c)}
    values |= {f"p{n}": f"{theme.px(n)}px" for n in (1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 20, 24)}
    values["small"] = f"{9.2 * theme.scale / 100:.2f}pt"
    values["large"] = f"{12.5 * theme.scale / 100:.2f}pt"
    tick = "tick-light" if c is LIGHT else "tick-dark"  # on the accent
    for name, icon in (("chevron", "chevron"), ("tick", tick)):
        values[name] = str(files("resources").joinpath("icons", f"{icon}.svg")).replace("\\", "/")
    source = files("resources").joinpath("style.qss").read_text(encoding="utf-8")
    return Template(source).substitute(values)
