"""Element's configuration: an autonomous client that offers only what a deployment has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deploy.state import Deployment

HIDDEN_FEATURES = (
    "urlPreviews",
    "widgets",
    "locationSharing",
    "feedback",
    "registration",
    "passwordReset",
    "deactivate",
    "shareQrCode",
    "shareSocial",
    "identityServer",
    "thirdPartyId",
    "advancedEncryption",
)
"""`UIFeature` keys that are off: each would contact an outside server or promise what the policy refuses to all."""


TRANSLATIONS = {
    "upload_failed_generic": {
        "en": "The file '%(fileName)s' was not accepted. If a rule stands against it, Charter steward tells you which, in your chats.",
        "de": "Die Datei '%(fileName)s' wurde nicht angenommen. Steht eine Regel dagegen, nennt Charter steward sie in deinen Chats.",
    },
}
"""Element's words where it drops the server's: for a refused upload it says only that it failed."""


def well_known() -> dict[str, Any]:
    """The extra keys of `/.well-known/matrix/client`: no encryption, no call fallback outside.

    Source: element-web's docs (`io.element.e2ee`, `io.element.voip`).
    """
    return {
        "io.element.e2ee": {"default": False, "force_disable": True, "secure_backup_required": False},
        "io.element.voip": {"disable_fallback_ice": True},
    }


def client_well_known(deployment: Deployment) -> dict[str, Any]:
    """The whole `/.well-known/matrix/client` for a web server that answers it beside the client."""
    return {"m.homeserver": {"base_url": deployment.homeserver_url}, **well_known()}


def element_config(deployment: Deployment) -> dict[str, Any]:
    """Element's `config.json`, for the browser and the desktop client alike.

    It keeps people honest about what they have; the server alone enforces.
    """
    return {
        "default_server_config": {
            "m.homeserver": {"base_url": deployment.homeserver_url, "server_name": deployment.server_name}
        },
        "brand": "Element",
        "custom_translations_url": f"{deployment.client_url}/translations.json",
        "disable_custom_urls": True,
        "disable_guests": True,
        "disable_3pid_login": True,
        "disable_login_language_selector": True,
        "default_federate": False,
        "default_theme": "light",
        # Without these Element would ask its makers' integration manager and call servers.
        "integrations_ui_url": None,
        "integrations_rest_url": None,
        "integrations_widgets_urls": [],
        "jitsi": {"preferred_domain": ""},
        "element_call": {"url": "", "use_exclusively": False},
        "report_event": {"admin_message_md": "Reports go to your own company's security team."},
        "room_directory": {"servers": [deployment.server_name]},
        "enable_presence_by_hs_url": {deployment.homeserver_url: deployment.presence},
        "setting_defaults": {
            **{f"UIFeature.{name}": False for name in HIDDEN_FEATURES},
            "UIFeature.voip": True,
            "webRtcAllowPeerToPeer": True,
            "fallbackICEServerAllowed": False,
            "MessageComposerInput.showStickersButton": False,
            "urlPreviewsEnabled": False,
        },
    }
