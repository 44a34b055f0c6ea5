/* Shortcodes of the emoji that people and operations bots use. Unknown ones stay as they were typed. */

const CODES = `
+1 👍|thumbsup 👍|-1 👎|thumbsdown 👎|ok_hand 👌|wave 👋|pray 🙏|clap 👏|raised_hands 🙌|muscle 💪|point_right 👉|point_left 👈
point_up 👆|point_down 👇|raised_hand ✋|eyes 👀|tada 🎉|rocket 🚀|fire 🔥|boom 💥|bug 🐛|sparkles ✨|star ⭐|zap ⚡|bulb 💡
rotating_light 🚨|warning ⚠️|no_entry ⛔|no_entry_sign 🚫|octagonal_sign 🛑|stop_sign 🛑|construction 🚧|sos 🆘|exclamation ❗
heavy_exclamation_mark ❗|question ❓|grey_question ❔|information_source ℹ️|bangbang ‼️|white_check_mark ✅|heavy_check_mark ✔️
ballot_box_with_check ☑️|x ❌|heavy_multiplication_x ✖️|negative_squared_cross_mark ❎|red_circle 🔴|large_red_circle 🔴
large_orange_circle 🟠|orange_circle 🟠|large_yellow_circle 🟡|yellow_circle 🟡|large_green_circle 🟢|green_circle 🟢
large_blue_circle 🔵|blue_circle 🔵|large_purple_circle 🟣|white_circle ⚪|black_circle ⚫|large_red_square 🟥|large_orange_square 🟧
large_yellow_square 🟨|large_green_square 🟩|large_blue_square 🟦|white_large_square ⬜|black_large_square ⬛|arrow_right ➡️
arrow_left ⬅️|arrow_up ⬆️|arrow_down ⬇️|arrow_upper_right ↗️|arrow_lower_right ↘️|leftwards_arrow_with_hook ↩️
arrow_right_hook ↪️|arrows_counterclockwise 🔄|arrows_clockwise 🔃|repeat 🔁|rewind ⏪|fast_forward ⏩|track_previous ⏮️
black_left_pointing_double_triangle_with_vertical_bar ⏮️|arrow_forward ▶️|arrow_backward ◀️|pause_button ⏸️
double_vertical_bar ⏸️|stop_button ⏹️|black_square_for_stop ⏹️|hourglass ⌛|hourglass_flowing_sand ⏳|stopwatch ⏱️|timer_clock ⏲️
alarm_clock ⏰|clock1 🕐|clock3 🕒|watch ⌚|calendar 📆|date 📅|spiral_calendar_pad 🗓️|bell 🔔|no_bell 🔕|mute 🔇|loudspeaker 📢
mega 📣|phone 📞|telephone_receiver 📞|pager 📟|satellite 🛰️|satellite_antenna 📡|lock 🔒|unlock 🔓|key 🔑|shield 🛡️
closed_lock_with_key 🔐|wrench 🔧|hammer 🔨|hammer_and_wrench 🛠️|gear ⚙️|nut_and_bolt 🔩|link 🔗|paperclip 📎|pushpin 📌
round_pushpin 📍|triangular_flag_on_post 🚩|checkered_flag 🏁|chart_with_upwards_trend 📈|chart_with_downwards_trend 📉
bar_chart 📊|clipboard 📋|memo 📝|pencil 📝|pencil2 ✏️|page_facing_up 📄|scroll 📜|books 📚|book 📖|bookmark 🔖|label 🏷️
file_folder 📁|open_file_folder 📂|card_index_dividers 🗂️|package 📦|floppy_disk 💾|desktop_computer 🖥️|computer 💻|mag 🔍
mag_right 🔎|microscope 🔬|test_tube 🧪|dna 🧬|robot_face 🤖|robot 🤖|brain 🧠|seedling 🌱|herb 🌿|ear_of_rice 🌾|leaves 🍃
fire_engine 🚒|ambulance 🚑|fire_extinguisher 🧯|helmet_with_white_cross ⛑️|bust_in_silhouette 👤|busts_in_silhouette 👥
speech_balloon 💬|thought_balloon 💭|left_speech_bubble 🗨️|email 📧|envelope ✉️|inbox_tray 📥|outbox_tray 📤|broom 🧹|recycle ♻️
snowflake ❄️|sunny ☀️|zzz 💤|sleeping 😴|smile 😄|smiley 😃|grinning 😀|slightly_smiling_face 🙂|wink 😉|thinking_face 🤔
thinking 🤔|sweat_smile 😅|joy 😂|cry 😢|sob 😭|scream 😱|facepalm 🤦|shrug 🤷|heart ❤️|green_heart 💚|broken_heart 💔|100 💯
ok 🆗|new 🆕|up 🆙|arrow_heading_down ⤵️|arrow_heading_up ⤴️|heavy_plus_sign ➕|heavy_minus_sign ➖|small_red_triangle 🔺
small_red_triangle_down 🔻|small_blue_diamond 🔹|small_orange_diamond 🔸|one 1️⃣|two 2️⃣|three 3️⃣|four 4️⃣|five 5️⃣|coffee ☕|ship 🚢
traffic_light 🚦|vertical_traffic_light 🚦|dart 🎯|scales ⚖️|balance_scale ⚖️|crystal_ball 🔮|ghost 👻|skull 💀|beers 🍻|medal 🏅`;

const TABLE = new Map(CODES.trim().split(/[|\n]/).map((entry) => entry.split(" ")));

/** The character of `name` (without colons), or undefined. */
export const emoji = (name) => TABLE.get(name.split("::")[0]);

/** Up to `limit` [name, character] pairs whose name begins with, then contains, `part`. */
export function emojiLike(part, limit = 8) {
  const all = [...TABLE];
  const found = all.filter(([name]) => name.startsWith(part));
  found.push(...all.filter(([name]) => !name.startsWith(part) && name.includes(part)));
  return found.slice(0, limit);
}

/** What the reaction picker offers. */
export const QUICK = ["eyes", "white_check_mark", "+1", "tada", "raised_hands", "warning", "hourglass_flowing_sand", "x"];
