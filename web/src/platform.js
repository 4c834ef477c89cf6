import BasePlatform from "matrix-react-sdk/lib/BasePlatform";

/** What the interface asks of the browser around it. */
export default class Platform extends BasePlatform {
    async getConfig() {
        const response = await fetch("/config.json", { cache: "no-store" });
        if (!response.ok) throw new Error(`config.json: ${response.status}`);
        return response.json();
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
