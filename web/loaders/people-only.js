"use strict";

// The call buttons of this version count a room's service members (`io.element.functional_members`) as people, so that
// a direct chat in which the journal bot sits would offer no call. The rest of the interface does not count them.

const COUNT = "(0, _useRoomMembers.useRoomMemberCount)(room)";

module.exports = function peopleOnly(source) {
    if (!source.includes(COUNT)) throw new Error("useRoomCall has changed: does it still count service members?");
    return source.replace(
        COUNT,
        `${COUNT} - require("../../utils/room/getFunctionalMembers").getFunctionalMembers(room).length`,
    );
};
