import React from "react";
import ReactDOM from "react-dom";
import { AutoDiscovery } from "matrix-js-sdk/src/autodiscovery";
import * as languageHandler from "matrix-react-sdk/lib/languageHandler";
import SettingsStore from "matrix-react-sdk/lib/settings/SettingsStore";
import PlatformPeg from "matrix-react-sdk/lib/PlatformPeg";
import SdkConfig from "matrix-react-sdk/lib/SdkConfig";
import AutoDiscoveryUtils from "matrix-react-sdk/lib/utils/AutoDiscoveryUtils";
import { setTheme } from "matrix-react-sdk/lib/theme";
import MatrixChat from "matrix-react-sdk/lib/components/structures/MatrixChat";

import Platform from "./platform";
import { currentScreen, follow, onNewScreen } from "./routing";

/** The company's well-known answer comes from beside this page: its own web host may not exist, as in the demo. */
function answerWellKnown() {
    const { server_name: name } = SdkConfig.get("default_server_config")["m.homeserver"];
    const own = `https://${name}/.well-known/matrix/client`;
    AutoDiscovery.setFetchFn((url, options) => window.fetch(String(url) === own ? "/.well-known/matrix/client" : url, options));
}

async function findServer() {
    const discovered = await AutoDiscovery.fromDiscoveryConfig(SdkConfig.get("default_server_config"));
    const server = await AutoDiscoveryUtils.buildValidatedConfigFromDiscovery(undefined, discovered, true);
    SdkConfig.add({ validated_server_config: { ...server, isDefault: true } });
}

async function loadLanguage() {
    const chosen = SettingsStore.getValue("language", null, true);
    await languageHandler.setLanguage(chosen ? [chosen] : languageHandler.getNormalizedLanguageKeys(navigator.language));
}

/** Show the interface; the configuration is in SdkConfig already. */
export async function start() {
    PlatformPeg.set(new Platform());
    answerWellKnown();
    await loadLanguage();
    await findServer();
    await setTheme();
    follow(() => window.matrixChat);
    const first = currentScreen();
    const chat = React.createElement(MatrixChat, {
        ref: (instance) => { window.matrixChat = instance; },
        onNewScreen,
        config: SdkConfig.get(),
        realQueryParams: {},
        startingFragmentQueryParams: first.params,
        enableGuest: false,
        onTokenLoginCompleted: () => {},
        initialScreenAfterLogin: ["", "welcome"].includes(first.screen) ? undefined : first,
        defaultDeviceDisplayName: PlatformPeg.get().getDefaultDeviceDisplayName(),
    });
    ReactDOM.render(chat, document.getElementById("matrixchat"));
}
