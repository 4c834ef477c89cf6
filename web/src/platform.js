import BasePlatform from "matrix-react-sdk/lib/BasePlatform";
import SdkConfig from "matrix-react-sdk/lib/SdkConfig";

/** What the interface asks of the browser around it. */
export default class Platform extends BasePlatform {
    async getConfig() {
        return SdkConfig.get();
    }

    getHumanReadableName() {
        return "Web Platform";
    }

    getDefaultDeviceDisplayName() {
        return "Element in a browser";
    }

    async getAppVersion() {
        return "matrix-react-sdk 3.114.0";
    }

    supportsNotifications() {
        return Boolean(window.Notification);
    }

    maySendNotifications() {
        return window.Notification?.permission === "granted";
    }

    requestNotificationPermission() {
        return window.Notification.requestPermission();
    }

    reload() {
        window.location.reload();
    }
}
